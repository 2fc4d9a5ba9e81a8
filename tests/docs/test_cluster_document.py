"""The document of clusters: its commands, and the manifests of examples/deploy, which hold what the custom resources
of KubeRay (ray.io/v1) know, and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pagefault.cluster.console.main import app

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"

CLUSTER = {
    "autoscalerOptions",
    "enableInTreeAutoscaling",
    "headGroupSpec",
    "headServiceAnnotations",
    "rayVersion",
    "suspend",
    "workerGroupSpecs",
}
HEAD = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKERS = {
    "groupName",
    "maxReplicas",
    "minReplicas",
    "numOfHosts",
    "rayStartParams",
    "replicas",
    "scaleStrategy",
    "template",
}
JOB = {
    "activeDeadlineSeconds",
    "backoffLimit",
    "clusterSelector",
    "entrypoint",
    "entrypointNumCpus",
    "entrypointNumGpus",
    "entrypointResources",
    "jobId",
    "metadata",
    "rayClusterSpec",
    "runtimeEnvYAML",
    "shutdownAfterJobFinishes",
    "submissionMode",
    "submitterConfig",
    "submitterPodTemplate",
    "suspend",
    "ttlSecondsAfterFinished",
}
"""The fields of KubeRay's Go types that every release with ray.io/v1 has."""
POD = {"containers", "restartPolicy", "terminationGracePeriodSeconds", "volumes"}
CONTAINER = {"env", "image", "name", "ports", "resources", "volumeMounts"}


def documents(kind: str) -> list[dict[str, Any]]:
    found = [each for path in sorted(DEPLOY.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
    return [each for each in found if each["kind"] == kind]


def test_the_cluster_has_the_fields_that_kuberay_knows() -> None:
    (cluster,) = documents("RayCluster")
    assert cluster["apiVersion"] == "ray.io/v1"
    spec = cluster["spec"]
    assert set(spec) <= CLUSTER
    assert set(spec["headGroupSpec"]) <= HEAD
    for group in spec["workerGroupSpecs"]:
        assert set(group) <= WORKERS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "KubeRay takes texts only"
        check_pod(group["template"])


def test_the_job_finds_the_cluster_and_says_what_the_command_line_understands() -> None:
    (cluster,), (job,) = documents("RayCluster"), documents("RayJob")
    spec = job["spec"]
    assert set(spec) <= JOB
    assert spec["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert spec["shutdownAfterJobFinishes"] is False, "KubeRay refuses it for a cluster that is only borrowed"
    check_pod(spec["submitterPodTemplate"])
    understand(shlex.split(spec["entrypoint"]))


COMMANDS = [
    shlex.split(line[line.index("pagefault ") :], comments=True)
    for line in (ROOT / "docs" / "cluster.md").read_text().splitlines()
    if line.startswith("$ ") and "pagefault " in line
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_commands_of_the_document_are_understood(words: list[str]) -> None:
    understand(words)


def test_there_are_commands() -> None:
    assert {words[1] for words in COMMANDS} >= {"ps", "send", "drain", "stop", "run", "topics", "dead"}


def understand(words: list[str]) -> None:
    """Parse a command line of ours, without running it; raises for what it does not understand."""
    command: Any = typer.main.get_group(app)
    program, *arguments = words
    assert program == "pagefault"
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context("pagefault", arguments)


def test_what_is_referred_to_is_there() -> None:
    (cluster,), (claim,) = documents("RayCluster"), documents("PersistentVolumeClaim")
    head = cluster["spec"]["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in head["volumes"]}
    assert list(volumes.values()) == [claim["metadata"]["name"]]
    (container,) = head["containers"]
    assert [mount["name"] for mount in container["volumeMounts"]] == list(volumes)
    secrets = {secret["name"] for kind in ("RayCluster", "RayJob") for secret in references(documents(kind))}
    assert secrets == {"pagefault-token"}


def check_pod(template: Mapping[str, Any]) -> None:
    pod = template["spec"]
    assert set(pod) <= POD
    for container in pod["containers"]:
        assert set(container) <= CONTAINER
        assert {variable["name"] for variable in container["env"]} == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}


def references(value: object) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if "secretKeyRef" in value:
            yield value["secretKeyRef"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_all_containers_have_the_same_image(kind: str) -> None:
    assert {image for each in documents(kind) for image in images(each)} == {"registry.example/pagefault:0.1"}


def images(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "image" in value:
            yield str(value["image"])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from images(each)

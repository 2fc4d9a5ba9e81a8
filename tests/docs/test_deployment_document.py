"""docs/deployment.md and deploy/: files that refer to each other, to our command line, to Ray's, and to our settings.

No container is started here.  What can be wrong in these files without one is looked for: images without a version,
names that are defined nowhere, commands that do not exist, secrets in layers.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.scripts.scripts import cli as ray_command_line

from pagefault.cluster.console.configuration import OUTSIDE, SETTINGS
from tests.docs.commands import commands_of, ours_in, understand

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text()))
ENTRYPOINT = DEPLOY / "entrypoint.sh"
TAKEN = re.search(r"for name in ([A-Z_ ]+); do", ENTRYPOINT.read_text())
FROM_FILES = TAKEN[1].split() if TAKEN else []
KNOWN = {each.environment for each in SETTINGS} | set(OUTSIDE)
OTHERS = {"PGDATA", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER", "QDRANT__SERVICE__API_KEY"}
IMAGE = re.compile(r"[a-z0-9./-]+:v?\d+(\.\d+)+(-[a-z0-9]+)*")
SECRET = re.compile(r"token$|password|secret|key$", re.IGNORECASE)


def containerfile() -> list[tuple[str, str]]:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], " ".join(line.split(" ", 1)[1].split())) for line in lines]


INSTRUCTIONS = containerfile()


def of(kind: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == kind]


def test_the_image_is_pinned_unprivileged_and_watched() -> None:
    assert {name for name, _ in INSTRUCTIONS} <= {
        "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "VOLUME", "WORKDIR",
    }  # fmt: skip
    images = [rest.split()[0] for rest in of("FROM")]
    assert len(set(images)) == 1
    assert all(IMAGE.fullmatch(image) for image in images)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", of("USER")[-1])
    last_run = max(index for index, (name, _) in enumerate(INSTRUCTIONS) if name in ("RUN", "COPY"))
    assert ("USER", of("USER")[-1]) in INSTRUCTIONS[last_run:], "nothing is done as root after it"
    (health,) = of("HEALTHCHECK")
    assert "--timeout=" in health
    assert all(rest.startswith("[") for rest in (*of("CMD"), *of("ENTRYPOINT"))), "signals reach a program, not a shell"


def test_packages_are_installed_by_their_hashes_and_nothing_is_left_behind() -> None:
    installs = [part for rest in of("RUN") for part in rest.split("&&") if "pip install" in part]
    assert len(installs) == 3
    for each in installs:
        assert "--require-hashes -r requirements" in each or "--no-deps --no-build-isolation ." in each
    (system,) = [rest for rest in of("RUN") if "apt-get" in rest]
    assert "--no-install-recommends" in system
    assert "rm -rf /var/lib/apt/lists/*" in system


def test_what_is_copied_is_there_and_gets_past_the_ignored() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    assert rules[0] == "*"
    let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copied = [word for rest in of("COPY") if "--from" not in rest for word in rest.split()[:-1] if word[0] != "-"]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, rule) for rule in let_in), source
    assert not [rule for rule in let_in if SECRET.search(rule)]


def test_no_secret_is_in_a_layer() -> None:
    assert not re.search(r"^ARG ", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    variables = [word.partition("=")[0] for rest in of("ENV") for word in shlex.split(rest)]
    assert not [name for name in variables if SECRET.search(name)]
    assert set(variables) - {"PATH"} <= KNOWN | {
        "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_CACHE_DIR", "PIP_NO_INPUT", "RAY_USAGE_STATS_ENABLED",
    }  # fmt: skip


# --- the scripts -----------------------------------------------------------------------------------------


def enter(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"]} | environment
    return subprocess.run(["sh", ENTRYPOINT, *command], env=given, capture_output=True, text=True, check=False)


def test_secrets_come_from_files_unless_they_are_set(tmp_path: Path) -> None:
    assert set(FROM_FILES) <= KNOWN
    file = tmp_path / "a secret"
    file.write_text("it's $HOME `id` \\n 9000\n")
    for name in FROM_FILES:
        show = ("sh", "-c", f'printf %s "${name}"')
        assert enter({f"{name}_FILE": str(file)}, *show).stdout == "it's $HOME `id` \\n 9000"
        assert enter({f"{name}_FILE": str(file), name: "set"}, *show).stdout == "set"
    missing = enter({"QDRANT_API_KEY_FILE": str(tmp_path / "absent")}, "true")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("error: QDRANT_API_KEY_FILE: found '")
    assert enter({}, "sh", "-c", "exit 7").returncode == 7


def test_secrets_are_made_once_and_fit_what_mounts_them(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    shutil.copy(DEPLOY / "secrets.sh", script)
    subprocess.run(["sh", script], check=True)
    place = tmp_path / "secrets"
    first = {path.name: path.read_text() for path in place.iterdir()}
    subprocess.run(["sh", script], check=True)
    assert {path.name: path.read_text() for path in place.iterdir()} == first
    assert place.stat().st_mode & 0o777 == 0o700
    assert yaml.safe_load(first["qdrant.yaml"]) == {"service": {"api_key": first["qdrant_api_key"]}}
    assert len({*first.values()}) == len(first)
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for name, text in first.items() if name != "qdrant.yaml")
    wanted = {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
    assert wanted == set(first)


# --- compose ---------------------------------------------------------------------------------------------

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MERGED = pytest.mark.parametrize("name", SERVICES)


def names(entries: object) -> set[str]:
    """Of secrets, networks and the like, which are lists of names, of tables with a source, or tables by name."""
    if isinstance(entries, dict):
        return set(entries)
    assert isinstance(entries, list)
    return {each["source"] if isinstance(each, dict) else each for each in entries}


@MERGED
def test_a_service_is_pinned_bounded_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert IMAGE.fullmatch(service["image"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"
    assert not service.get("privileged")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "nothing is published beyond this machine"


@MERGED
def test_what_a_service_names_is_defined(name: str) -> None:
    service = SERVICES[name]
    assert names(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert names(service["networks"]) <= set(COMPOSE["networks"])
    assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
    for other, condition in service.get("depends_on", {}).items():
        assert "healthcheck" in SERVICES[other]
        assert condition == {"condition": "service_healthy"}
        assert names(service["networks"]) & names(SERVICES[other]["networks"]), "they can reach each other"


def test_everything_that_is_defined_is_used() -> None:
    for kind in ("secrets", "networks"):
        assert {each for service in SERVICES.values() for each in names(service.get(kind, []))} == set(COMPOSE[kind])
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])
    assert COMPOSE["networks"]["stores"] == {"internal": True}


@MERGED
def test_a_variable_means_something_and_its_file_is_mounted(name: str) -> None:
    service = SERVICES[name]
    mounted = {f"/run/secrets/{each}" for each in names(service.get("secrets", []))}
    for variable, value in service.get("environment", {}).items():
        base = variable.removesuffix("_FILE")
        assert base in KNOWN | OTHERS, variable
        if variable.endswith(("_FILE", "_PATH")):
            assert value in mounted, variable
            assert base in {*FROM_FILES, "POSTGRES_PASSWORD", "RAY_AUTH_TOKEN_PATH"}
        else:
            assert not SECRET.search(base), f"{variable} would be in plain sight"
            assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{variable} has a password in it"
    for setting in SETTINGS:
        if setting.environment in service.get("environment", {}):
            setting.checked(service["environment"][setting.environment], setting.environment)


def test_addresses_lead_to_services_that_can_be_reached() -> None:
    head = SERVICES["head"]
    for url in (head["environment"]["PAGEFAULT_JOURNAL"], head["environment"]["PAGEFAULT_ARCHIVE"]):
        host = re.search(r"(?:@|//)([a-z]+)[:/]", url)
        assert host
        assert names(SERVICES[host[1]]["networks"]) & names(head["networks"])
    for name in ("worker", "ui"):
        assert "head:6379" in str(SERVICES[name]["command"])
    assert "--port=6379" in head["command"]
    published = {port.split(":")[-1] for service in SERVICES.values() for port in service.get("ports", [])}
    assert published <= {*re.findall(r"\d+", " ".join(of("EXPOSE")))}


def commands() -> Iterator[list[str]]:
    """Every command of an image of ours: of services, of their health checks, of the image itself, of documents."""
    yield shlex.split(re.sub(r'[\[\],"]+', " ", of("CMD")[-1]))
    yield shlex.split(re.sub(r'[\[\],"]+', " ", of("HEALTHCHECK")[0].partition("CMD")[2]))[1:]
    for service in SERVICES.values():
        if service["image"].startswith("pagefault:"):
            command = [str(each) for each in service["command"]]
            if command[:2] == ["sh", "-c"]:
                yield from (shlex.split(part.removeprefix(" exec ")) for part in command[2].split("&&"))
            else:
                yield command
            check = service["healthcheck"]["test"]
            if check[1] == "pagefault-entrypoint":
                yield [str(each) for each in check[2:]]
    yield from (shlex.split(line[2:], comments=True) for line in TEXT.splitlines() if line.startswith("$ ray "))


def understand_any(words: list[str]) -> None:
    if words[0] == "pagefault":
        understand(words)
        return
    assert words[0] == "ray"
    command: Any = ray_command_line
    arguments = words[1:]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context("ray", arguments)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_commands_are_understood_by_whom_they_are_for(words: list[str]) -> None:
    understand_any(words)


@pytest.mark.parametrize("words", commands_of(TEXT), ids=" ".join)
def test_the_commands_of_the_document_are_understood(words: list[str]) -> None:
    understand(words)


def test_a_command_that_there_is_not_would_be_noticed() -> None:
    assert ours_in("kubectl exec POD -- pagefault drain X && pagefault ps") == [
        ["pagefault", "drain", "X"],
        ["pagefault", "ps"],
    ]
    for words in (["ray", "start", "--heads"], ["pagefault", "ps", "--no-such-option"]):
        with pytest.raises(Exception, match=r"[Nn]o such option"):
            understand_any(words)


# --- Kubernetes ------------------------------------------------------------------------------------------


def kinds(kind: str) -> list[dict[str, Any]]:
    return [each for each in MANIFESTS if each["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """Pod templates by the part of the fleet that they are."""
    (cluster,) = kinds("RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    templates = [group["template"] for group in groups] + [each["spec"]["template"] for each in kinds("StatefulSet")]
    return {each["metadata"]["labels"]["part"]: each for each in templates}


PODS = pods()
EVERY_POD = pytest.mark.parametrize("part", PODS)


@EVERY_POD
def test_a_pod_is_pinned_bounded_unprivileged_and_refers_to_what_is_there(part: str) -> None:
    spec = PODS[part]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    assert IMAGE.fullmatch(container["image"])
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert set(container["resources"]) == {"requests", "limits"}
    own = {volume["name"] for volume in spec.get("volumes", [])}
    claims = {
        claim["metadata"]["name"]
        for each in kinds("StatefulSet")
        if each["spec"]["template"] is PODS[part]
        for claim in each["spec"]["volumeClaimTemplates"]
    }
    assert {mount["name"] for mount in container.get("volumeMounts", [])} == own | claims
    for variable in container.get("env", []):
        assert variable["name"] in KNOWN | OTHERS
        if SECRET.search(variable["name"]) or "PASSWORD" in variable["name"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert f"secret generic {reference['name']} " in TEXT
            assert f"--from-literal={reference['key']}=" in TEXT


def test_the_cluster_wants_its_token_and_has_the_locked_ray() -> None:
    (cluster,) = kinds("RayCluster")
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    locked = re.search(r"^ray(?:\[\w+\])?==([\d.]+) ", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert cluster["spec"]["rayVersion"] == locked[1]
    images = {PODS[part]["spec"]["containers"][0]["image"] for part in ("head", "worker")}
    assert len(images) == 1
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_services_lead_to_pods_and_pods_to_services() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in kinds("Service")}
    for each in kinds("StatefulSet"):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == labels
        assert services[each["spec"]["serviceName"]]["selector"] == labels
        ports = {port["name"] for port in each["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in services[each["spec"]["serviceName"]]["ports"]} <= ports
    (head,) = PODS["head"]["spec"]["containers"]
    variables = {each["name"]: each.get("value", "") for each in head["env"]}
    for name in ("PAGEFAULT_JOURNAL", "PAGEFAULT_ARCHIVE"):
        assert any(f"@{service}/" in variables[name] or f"//{service}:" in variables[name] for service in services)


def selected(selector: dict[str, Any]) -> set[str]:
    """The parts that a selector means."""
    found = set()
    for part, template in PODS.items():
        labels = template["metadata"]["labels"]
        exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
        among = all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))
        if exact and among:
            found.add(part)
    return found


def test_who_may_speak_to_whom() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in kinds("NetworkPolicy")}
    ray, stores = policies["pagefault-ray"], policies["pagefault-stores"]
    assert selected(ray["podSelector"]) == {"head", "worker"}
    assert selected(stores["podSelector"]) == {"postgres", "qdrant"}
    assert [selected(peer["podSelector"]) for peer in stores["ingress"][0]["from"]] == [{"head"}]
    assert selected(ray["ingress"][0]["from"][0]["podSelector"]) == {"head", "worker"}
    assert stores["egress"] == []

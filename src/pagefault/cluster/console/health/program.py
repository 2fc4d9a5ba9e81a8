"""The program itself: Python, the packages that it needs, the extras that are there."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from pagefault.cluster.console.health.contract import Asked, Verdict, ok, skipped

PYTHON_NEEDED = (3, 11)
NOT_FOR_RUNS = frozenset({"bench", "build", "dev"})
"""Extras for whoever works on Pagefault itself."""
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w.-]+)['"]""")


def python(_asked: Asked) -> list[Verdict]:
    """Whether this Python, and this system, are those that Pagefault is made for."""
    found = f"Python {platform.python_version()}"
    if sys.version_info < PYTHON_NEEDED:
        return [Verdict("python", "failed", found, "install Python 3.11 or newer")]
    if sys.platform != "linux":
        return [Verdict("python", "warning", f"{found} on {sys.platform}", "Linux is what Pagefault is tested on")]
    return [ok("python", f"{found} on {platform.system()} {platform.machine()}")]


def packages(_asked: Asked) -> list[Verdict]:
    """Whether what the package's own description asks for is installed, in a version that will do."""
    try:
        described = requires("pagefault") or []
    except PackageNotFoundError:
        text = "pagefault runs from its source and is not installed"
        return [Verdict("packages", "warning", text, "pip install pagefault, so that versions can be compared")]
    return judged(described)


def judged(described: Sequence[str]) -> list[Verdict]:
    """One verdict of all that is needed, and one of each extra; ``described`` as in a package's metadata."""
    needed: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for line in described:
        requirement = Requirement(line)
        named = _EXTRA.search(str(requirement.marker or ""))
        environment = {"extra": named[1] if named else ""}
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        (extras.setdefault(named[1], []) if named else needed).append(requirement)
    wrong = [problem for each in needed if (problem := _problem(each))]
    verdicts = [
        Verdict("packages", "failed", "; ".join(wrong), "pip install --upgrade pagefault")
        if wrong
        else ok("packages", f"all {len(needed)} that are needed")
    ]
    return verdicts + [_extra(name, extras[name]) for name in sorted(extras.keys() - NOT_FOR_RUNS)]


def _extra(name: str, requirements: Sequence[Requirement]) -> Verdict:
    wrong = [problem for each in requirements if (problem := _problem(each))]
    label, install = f"extra {name}", f"pip install 'pagefault[{name}]'"
    if not wrong:
        return ok(label, ", ".join(f"{each.name} {version(each.name)}" for each in requirements))
    if all(problem.endswith("is missing") for problem in wrong):
        return skipped(label, f"{', '.join(wrong)}; where it is wanted: {install}")
    return Verdict(label, "warning", "; ".join(wrong), install)


def _problem(requirement: Requirement) -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} is {found}, needed is {requirement.specifier}"

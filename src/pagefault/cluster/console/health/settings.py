"""What is configured: the file, and variables that mean nothing."""

from __future__ import annotations

from pagefault.cluster.console.configuration import read_configuration
from pagefault.cluster.console.health.contract import Asked, Verdict, ok, skipped


def settings(asked: Asked) -> list[Verdict]:
    """Which file is read, and every variable that begins like ours and is none."""
    found = read_configuration(asked.file)
    file = skipped("file", "none") if found.file is None else ok("file", f"{found.file.absolute()}")
    count = len(found.said("environment"))
    strangers = [Verdict(name, "warning", "means nothing", advice) for name, advice in found.unknown.items()]
    return [file, ok("environment", f"{count} settings"), *strangers]

"""The nodes of a cluster that runs: how far their clocks are apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pagefault.cluster.console.health.contract import Asked, Verdict, ok, skipped
from pagefault.cluster.whereabouts import answers, read_whereabouts

APART_WARNING_S: Final = 0.5
"""NTP keeps machines of a network within milliseconds: whoever is further off has none.  From here on the messages of
two hosts can be out of their order in what an agent remembers, and in logs."""
APART_FAILED_S: Final = 5.0
"""From here on timers, deadlines of calls and times in answers are wrong by what people notice when an agent moves."""
PATIENCE_S: Final = 4.2
"""Less than the doctor waits for any check: a cluster that is slow has not failed."""
JOINING_S: Final = 1.2
"""So much of it is for finding the cluster."""
NAME: Final = "clocks of nodes"
ADVICE: Final = "NTP on every node: timedatectl set-ntp true"
HERE: Final = "this machine"

Reading = Sequence[float]
"""When a node was asked by our clock, what its own said, when its answer was here by ours: seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a clock is ahead of ours in seconds, and by how much that may be wrong."""

    ahead_s: float
    error_s: float


def offset(readings: Sequence[Reading]) -> Offset:
    """Of the reading that took least: what it said, against the middle of its round trip.

    The same estimate as NTP's (RFC 5905, section 8, with one timestamp there instead of two, and the clock filter of
    section 10: the least delay is the least error), whose error is half of the round trip at most.
    """
    asked_s, said_s, heard_s = min(readings, key=lambda each: each[2] - each[0])
    return Offset(said_s - (asked_s + heard_s) / 2, max(0.0, heard_s - asked_s) / 2)


def judged_clocks(readings: Mapping[str, Sequence[Reading]]) -> Verdict:
    """How far the clocks of nodes, and ours, are apart; only what is sure is held against them.

    ``readings``: by the node's address; none for one that did not answer.
    """
    silent = sorted(node for node, told in readings.items() if not told)
    clocks = {HERE: Offset(0.0, 0.0), **{node: offset(told) for node, told in readings.items() if told}}
    first = max(clocks, key=lambda node: clocks[node].ahead_s)
    last = min(clocks, key=lambda node: clocks[node].ahead_s)
    apart_s = clocks[first].ahead_s - clocks[last].ahead_s
    error_s = clocks[first].error_s + clocks[last].error_s
    seen = f"{len(clocks) - 1} of {len(readings)} nodes: {_duration(apart_s)} apart (±{_duration(error_s)})"
    if apart_s - error_s > APART_WARNING_S:
        seen += f", {first} ahead of {last}"
        return Verdict(NAME, "failed" if apart_s - error_s > APART_FAILED_S else "warning", seen, ADVICE)
    if silent:
        return Verdict(
            NAME, "warning", f"{seen}; no answer from {', '.join(silent)}", "look at those nodes: ray status"
        )
    return ok(NAME, seen)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def nodes(asked: Asked) -> list[Verdict]:
    """Ask every node of the cluster that is meant for its time, by a small task on each; of no cluster, nothing."""
    address, shows_token = asked.address or os.environ.get("RAY_ADDRESS", ""), False
    if not address:
        place = read_whereabouts(asked.folder)
        if place is None or not answers(place.address):
            return [skipped(NAME, "no fleet of this folder runs, and no address is given")]
        address, shows_token = place.address, place.token
    elif address == "local":
        return [skipped(NAME, "local: a fleet begins a Ray of its own")]
    elif address != "auto" and not answers(address):
        return [skipped(NAME, f"{address}: nobody answers who could be asked")]
    return [_asked_of(address, shows_token=shows_token)]


def _asked_of(address: str, *, shows_token: bool) -> Verdict:
    command = [sys.executable, "-m", "pagefault.cluster._ray_clocks", address, str(PATIENCE_S - JOINING_S)]
    command += ["--token"] if shows_token else []
    try:
        told = subprocess.run(  # noqa: S603 - our own module; the address is one argument
            command, capture_output=True, check=True, timeout=PATIENCE_S, text=True, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Verdict(NAME, "warning", f"{address} did not say in {PATIENCE_S:g} s", "once more when it is less busy")
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return skipped(NAME, f"{address} cannot be asked: {reason}")
    return judged_clocks(json.loads(told.stdout.splitlines()[-1]))

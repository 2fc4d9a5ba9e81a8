"""A span as it is made here, before OpenTelemetry has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = str | int | float | bool | list[str]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened in a span, at a time in nanoseconds since the Unix epoch."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span that has ended.  Ids are numbers (0: no parent), times nanoseconds since the Unix epoch; ``error`` is the
    kind of what went wrong, empty if nothing did."""

    name: str
    kind: Literal["internal", "client"]
    trace_id: int
    span_id: int
    parent_id: int
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Value]
    events: tuple[SpanEvent, ...] = ()
    error: str = ""


Sink: TypeAlias = Callable[[SpanRecord], None]
"""Takes a span; never waits and never raises."""

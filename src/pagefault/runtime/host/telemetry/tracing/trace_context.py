"""Which trace a chain belongs to, and which span in it: W3C's ``traceparent``, and ids that follow from names.

A chain's ids are made from its agent and its cause, never at random: whichever host ends it, also after a crash, says
the same; and what another host has said about its calls belongs to the same span.
https://www.w3.org/TR/trace-context-2/#traceparent-header
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

TRACE_DIGITS: Final = 32
SPAN_DIGITS: Final = 16
_FORM: Final = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace (128 bits), and the span in it (64 bits) that is the parent of what comes; 0: there is none above."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def traceparent(self) -> str:
        """As it is sent."""
        return f"00-{self.trace_id:0{TRACE_DIGITS}x}-{self.span_id:0{SPAN_DIGITS}x}-{int(self.is_sampled):02x}"


def read_traceparent(text: str) -> TraceContext | None:
    """What somebody sent; ``None`` for what is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    trace_id, span_id = int(found["trace"], 16), int(found["span"], 16)
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(int(found["flags"], 16) & _SAMPLED))


def root(agent: str, cause: str, share: float) -> TraceContext:
    """The trace that begins with a chain; ``share`` (0 to 1) of all are sampled."""
    trace_id = _number("trace", agent, cause, size_bytes=TRACE_DIGITS // 2)
    return TraceContext(trace_id, 0, (trace_id >> 64) < share * 2**64)


def chain_span_id(agent: str, cause: str) -> int:
    """The span that is a chain."""
    return _number("chain", agent, cause, size_bytes=SPAN_DIGITS // 2)


def call_span_id(agent: str, call: str, began_ns: int) -> int:
    """The span that is one try of a call."""
    return _number("call", agent, call, str(began_ns), size_bytes=SPAN_DIGITS // 2)


def current_traceparent() -> str:
    """The span that the program itself is in, if it uses OpenTelemetry; else nothing."""
    module = sys.modules.get("opentelemetry.trace")  # a program without it pays nothing
    if module is None:
        return ""
    found = module.get_current_span().get_span_context()
    if not found.is_valid:
        return ""
    return TraceContext(found.trace_id, found.span_id, found.trace_flags.sampled).traceparent()


def _number(*names: str, size_bytes: int) -> int:
    data = "\0".join(names).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=size_bytes).digest()) or 1  # 0 would be invalid

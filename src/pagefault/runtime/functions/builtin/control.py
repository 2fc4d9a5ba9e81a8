"""Giving up control."""

from __future__ import annotations

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import Done, MemoryView, Outcome


@function(effect="pure", chains="never")
def yield_control(view: MemoryView) -> Outcome:
    """Stop here, without a message, and wait until something new happens."""
    return Done("Waiting.", yields=True)

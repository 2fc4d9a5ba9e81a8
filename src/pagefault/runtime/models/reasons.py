"""Why a call of a model ended without a reply, in one word: as journals and metrics say it."""

from __future__ import annotations

from pagefault.runtime.errors import (
    BudgetExceeded,
    ModelBusy,
    ModelError,
    ModelMalformed,
    ModelOverflow,
    ModelRefused,
)

_REASONS: tuple[tuple[type[ModelError], str], ...] = (
    (ModelOverflow, "overflow"),
    (BudgetExceeded, "budget"),
    (ModelRefused, "refused"),
    (ModelBusy, "busy"),
    (ModelMalformed, "malformed"),
)


def reason_of(error: ModelError) -> str:
    """``overflow``, ``budget``, ``refused``, ``busy``, ``malformed`` or ``unavailable``."""
    return next((name for kind, name in _REASONS if isinstance(error, kind)), "unavailable")

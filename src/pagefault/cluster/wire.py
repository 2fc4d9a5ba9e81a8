"""What crosses between our actors: bytes of the codec, errors as names and texts."""

from __future__ import annotations

from typing import Any

from pagefault.runtime import errors
from pagefault.runtime.host.moving import MovedError
from pagefault.runtime.host.records import CODEC

_ERRORS: dict[str, type[errors.PagefaultError]] = {
    name: getattr(errors, name) for name in errors.__all__ if name not in ("ConfigError", "ContextTooSmall")
}


def pack(value: object) -> bytes:
    """Plain data and known dataclasses as bytes."""
    return CODEC.encode(value)


def unpack(data: bytes) -> Any:
    """The value; raises :class:`~pagefault.runtime.errors.StoreCorrupt` for anything else."""
    return CODEC.decode(data)


def pack_error(error: BaseException) -> list[str]:
    """An error as ``[name, text]``, and for two kinds what else their readers need."""
    packed = [type(error).__name__, str(error)]
    if isinstance(error, errors.Overloaded):
        packed.append(str(error.retry_after_ms))
    elif isinstance(error, errors.AgentFailed):
        packed.append(error.reason)
    return packed


def unpack_error(packed: list[str]) -> errors.PagefaultError:
    """The error again.

    A ``ConfigError`` comes back as the ``UsageError`` that it is, one that is not of our tree as ``InternalError``.
    """
    name, text, *more = packed
    if name == "MovedError":
        return MovedError(text)
    if name in ("ConfigError", "ContextTooSmall"):
        return errors.UsageError(text)
    if name == "Overloaded" and more:
        return errors.Overloaded(text, int(more[0]))
    if name == "AgentFailed" and more:
        return errors.AgentFailed(text, more[0])
    cls = _ERRORS.get(name)
    return cls(text) if cls is not None else errors.InternalError(f"{name}: {text}")

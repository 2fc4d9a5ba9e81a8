"""What crosses between our actors: bytes of the codec, errors as names and texts."""

from __future__ import annotations

from typing import Any

from pagefault.runtime import errors
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
    """An error as ``[name, text]``."""
    return [type(error).__name__, str(error)]


def unpack_error(packed: list[str]) -> errors.PagefaultError:
    """The error again; one that is not of our tree comes back as ``InternalError``."""
    name, text = packed
    cls = _ERRORS.get(name)
    return cls(text) if cls is not None else errors.InternalError(f"{name}: {text}")

"""Tools as servers offer them, and as an operator has accepted them.

What a server says of its tools is read by models as instructions, so it is an attack's best way in ("tool
poisoning").  It is therefore bounded, put on one line without invisible characters, and shown as words of others; and
it is pinned: a model sees what was accepted, and a tool whose definition has changed since then (a "rug pull") is not
called until an operator accepts the new one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pydantic_core import to_jsonable_python

from pagefault.runtime.errors import FunctionDefinitionError, StoreCorrupt
from pagefault.runtime.functions.definition import FunctionDefinition
from pagefault.runtime.functions.mcp.schemas import read_input_schema
from pagefault.runtime.functions.mcp.settings import Server
from pagefault.runtime.functions.strict import canonical_json
from pagefault.runtime.kernel.trust import UNTRUSTED, quoted
from pagefault.runtime.values import Effect

DESCRIPTION_CHARS_MAX = 1_000
TOLD_CHARS_MAX = 32_768
TOOL_NAME_CHARS_MAX = 200
FUNCTION_NAME_CHARS = 64
MARGIN_MS = 5_000
"""A call is given up by its connection first, which knows more; the executor's limit is the second line."""
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True)
class OfferedTool:
    """A tool as a server lists it.  ``schema`` is its ``inputSchema``; ``hints`` are its annotations that are set."""

    tool: str
    description: str
    schema: Mapping[str, Any]
    hints: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """Of all that a model or an operator could be told of it."""
        told = canonical_json([self.tool, self.description, self.schema, self.hints])
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()

    @property
    def effect(self) -> Effect:
        """What the server says that running it twice would do."""
        if self.hints.get("readOnlyHint") is True:
            return Effect.PURE
        return Effect.IDEMPOTENT if self.hints.get("idempotentHint") is True else Effect.ONCE


@dataclass(frozen=True, slots=True)
class AcceptedTool:
    """A tool that agents may be given: what was accepted of it, by which digest, and what the operator permits."""

    server: str
    tool: str
    name: str
    description: str
    schema: Mapping[str, Any]
    hints: Mapping[str, Any]
    digest: str
    effect: str
    requires_approval: bool
    capabilities: tuple[str, ...]
    timeout_ms: int
    connect_ms: int

    @property
    def reference(self) -> str:
        """As people write it in an agent's functions."""
        return f"{self.server}.{self.tool}"

    @property
    def offered(self) -> OfferedTool:
        return OfferedTool(self.tool, self.description, self.schema, self.hints)

    def definition(self, call: Callable[[AcceptedTool, dict[str, Any]], Awaitable[str]]) -> FunctionDefinition:
        """The function that a model may call.  Raises :class:`~pagefault.runtime.errors.FunctionDefinitionError`."""

        async def run(**arguments: Any) -> str:
            return await call(
                self,
                {key: to_jsonable_python(value, by_alias=True, exclude_none=True) for key, value in arguments.items()},
            )

        return FunctionDefinition(
            function=run,
            name=self.name,
            effect=Effect(self.effect),
            strict=False,
            timeout_ms=self.timeout_ms + self.connect_ms + MARGIN_MS,
            requires_approval=self.requires_approval,
            capabilities=self.capabilities,
            given_shape=read_input_schema(self.name, self._told(), self.schema),
        )

    def _told(self) -> str:
        origin = f"The tool {one_line(self.tool, TOOL_NAME_CHARS_MAX)} of the MCP server {self.server}."
        described = one_line(self.description, DESCRIPTION_CHARS_MAX)
        return f"{origin} Its description: {quoted(described)}" if described else origin

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> AcceptedTool:
        """Raises :class:`~pagefault.runtime.errors.StoreCorrupt` for what :meth:`as_json` did not write."""
        try:
            tool = cls(**{**saved, "capabilities": tuple(saved["capabilities"])})
            Effect(tool.effect)
        except (TypeError, KeyError, ValueError) as error:
            raise StoreCorrupt(f"an accepted MCP tool cannot be read: {error}") from None
        if tool.offered.digest != tool.digest:
            raise StoreCorrupt(f"the accepted MCP tool {tool.reference} is not what was accepted: its digest differs")
        return tool


def one_line(text: str, chars_max: int) -> str:
    """A text of others, bounded, on one line, without what people cannot see (controls, directions, tags)."""
    visible = "".join(each if each.isspace() or unicodedata.category(each)[0] != "C" else "" for each in text)
    line = " ".join(visible.split())
    return line if len(line) <= chars_max else f"{line[:chars_max]}…"


def check_offered(server: str, offered: OfferedTool) -> None:
    """Raise :class:`~pagefault.runtime.errors.FunctionDefinitionError` for a tool that cannot be offered to models."""
    where = f"MCP server {server!r}, tool {one_line(offered.tool, 60)!r}"
    if not 0 < len(offered.tool) <= TOOL_NAME_CHARS_MAX or one_line(offered.tool, 1_000) != offered.tool:
        raise FunctionDefinitionError(f"{where}: a name has 1 to {TOOL_NAME_CHARS_MAX} visible characters")
    told = {"description": offered.description, "schema": canonical_json([offered.schema, offered.hints])}
    for field, text in told.items():
        if len(text) > TOLD_CHARS_MAX:
            raise FunctionDefinitionError(f"{where}: its {field} has {len(text)} characters, allowed: {TOLD_CHARS_MAX}")
    read_input_schema(function_name(server, offered.tool), "A tool.", offered.schema)


def accept(server: str, settings: Server, offered: OfferedTool, taken: Collection[str] = ()) -> AcceptedTool:
    """What is kept of a tool that an operator accepts; ``taken`` are names that other tools have."""
    name = function_name(server, offered.tool)
    if name in taken:
        name = _told_apart(name, offered.tool)
    return permitted(
        AcceptedTool(
            server=server,
            tool=offered.tool,
            name=name,
            description=offered.description,
            schema=offered.schema,
            hints=offered.hints,
            digest=offered.digest,
            effect=offered.effect.value,
            requires_approval=False,
            capabilities=(),
            timeout_ms=settings.timeout_ms,
            connect_ms=settings.connect_ms,
        ),
        settings,
    )


def permitted(tool: AcceptedTool, settings: Server) -> AcceptedTool:
    """The tool with what the operator permits now; what the server said of it stays as it was accepted."""
    changed = {
        "effect": settings.effects.get(tool.tool, tool.offered.effect.value),
        "requires_approval": settings.needs_approval(tool.tool),
        "capabilities": (UNTRUSTED, *settings.capabilities),
        "timeout_ms": settings.timeout_ms,
        "connect_ms": settings.connect_ms,
    }
    return AcceptedTool(**{**{name: getattr(tool, name) for name in tool.__slots__}, **changed})


def function_name(server: str, tool: str) -> str:
    """What models call it by: ``files__read_file``."""
    plain = _ODD.sub("_", tool)
    name = f"{server}__{plain}"
    return name if plain == tool and len(name) <= FUNCTION_NAME_CHARS else _told_apart(name, tool)


def _told_apart(name: str, tool: str) -> str:
    mark = hashlib.sha256(tool.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name[: FUNCTION_NAME_CHARS - 9]}_{mark}"

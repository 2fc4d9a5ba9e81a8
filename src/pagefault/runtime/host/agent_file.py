"""Letta's Agent File (``.af``): one agent as JSON, read and written as data alone.

Two forms are read: the present one, with lists of agents, blocks and tools that refer to each other by id, and the
older one, with everything inside of one agent (github.com/letta-ai/agent-file).  Tools come with source code there.  It
is never run, imported, stored or written: a tool is its name, which an operator maps to a registered function.  Of
model settings the name, temperature and sizes are taken.  Endpoints are not: a file must not say where keys and
conversations are sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.builtin import BUILTINS
from pagefault.runtime.host.config import config_error
from pagefault.runtime.host.secrecy import redacted
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.kernel.settings import AgentDefinition
from pagefault.runtime.values import FunctionCall, Page, PageKind

FILE_BYTES_MAX = 256 * 2**20
MESSAGES_MAX = 200_000
CONTEXT_TOKENS_MIN = 2_048
CONTEXT_TOKENS_MAX = 1_000_000
REPLY_TOKENS = 1_024
ASSISTANT, USER, TOOL, SYSTEM = "assistant", "user", "tool", "system"
SAME: Mapping[str, str] = {
    "memory_insert": "core_memory_append",
    "memory_replace": "core_memory_replace",
    "send_message_to_agent_async": "send_to_agent",
    "send_message_to_agent_and_wait_for_reply": "call_agent",
}
"""Letta's own tools that do what one of ours does under another name."""
_LETTAS = {
    "send_message", "conversation_search", "archival_memory_insert", "archival_memory_search", "core_memory_append",
    "core_memory_replace",
}  # fmt: skip
_LIST = BeforeValidator(lambda found: [] if found is None else found)
_TEXT = BeforeValidator(lambda found: "" if found is None else found)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Block(_Part):
    label: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[str, _TEXT] = ""
    limit: Annotated[int | None, Field(ge=1)] = None
    read_only: bool | None = False
    id: str = ""


class _Called(_Part):
    name: str
    arguments: Annotated[str, _TEXT] = ""


class _ToolCall(_Part):
    id: str = ""
    function: _Called


class _Message(_Part):
    role: str
    content: str | list[dict[str, Any]] | None = None
    text: str | None = None
    name: str | None = None
    id: str = ""
    created_at: datetime | None = None
    tool_calls: Annotated[list[_ToolCall], _LIST] = []
    tool_call_id: str | None = None


class _Model(_Part):
    model: str | None = None
    handle: str | None = None
    context_window: Annotated[int | None, Field(ge=1)] = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: float | None = None


class _Tool(_Part):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    id: str = ""


class _Agent(_Part):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    system: Annotated[str, _TEXT] = ""
    id: str = ""
    llm_config: _Model | None = None
    messages: Annotated[list[_Message], _LIST, Field(max_length=MESSAGES_MAX)] = []
    in_context_message_ids: Annotated[list[str], _LIST] = []
    in_context_message_indices: Annotated[list[int], _LIST] = []
    block_ids: Annotated[list[str], _LIST] = []
    tool_ids: Annotated[list[str], _LIST] = []
    memory_blocks: Annotated[list[_Block], _LIST] = []
    core_memory: Annotated[list[_Block], _LIST] = []
    tools: Annotated[list[_Tool | str], _LIST] = []


class _File(_Part):
    agents: Annotated[list[_Agent], Field(min_length=1, max_length=1_000)]
    blocks: Annotated[list[_Block], _LIST] = []
    tools: Annotated[list[_Tool], _LIST] = []


@dataclass(frozen=True, slots=True)
class FiledMessage:
    """One message: ``role`` is ``user``, ``assistant`` or ``tool``; ``author`` is who spoke, if the file says so."""

    role: str
    text: str
    author: str
    created_ms: int
    in_context: bool
    calls: tuple[FunctionCall, ...] = ()


@dataclass(frozen=True, slots=True)
class FiledAgent:
    """What an Agent File says of one agent.  ``model`` is as agents here name it, or empty."""

    name: str
    system: str
    blocks: tuple[Block, ...]
    messages: tuple[FiledMessage, ...]
    tools: tuple[str, ...]
    model: str
    temperature: float | None
    context_tokens: int | None
    reply_tokens: int | None


def read_agent_file(data: bytes, agent: str | None = None) -> FiledAgent:
    """Read a file; ``agent`` is the name of the one that is meant, where there are several.

    Raises :class:`~pagefault.runtime.errors.ConfigError` that names the field.
    """
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError("file", f"{len(data)} bytes", f"at most {FILE_BYTES_MAX}")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError("file", f"no JSON ({error})", "an Agent File, as Letta exports it") from None
    if not isinstance(found, dict) or not ("agents" in found or "core_memory" in found):
        raise ConfigError("file", "neither agents nor core_memory", "an Agent File, as Letta exports it")
    try:
        read = _File.model_validate(found if "agents" in found else {"agents": [found]})
    except ValidationError as error:
        raise config_error(error, "file", _File) from None
    names = [each.name for each in read.agents]
    chosen = [each for each in read.agents if agent in (None, each.name)]
    if len(chosen) != 1:
        raise ConfigError("--agent", agent, f"one of {', '.join(names)}")
    return _filed(chosen[0], read)


def _filed(agent: _Agent, file: _File) -> FiledAgent:
    model = agent.llm_config or _Model()
    name = model.model or (model.handle or "").rpartition("/")[2]
    return FiledAgent(
        name=agent.name,
        system=agent.system,
        blocks=tuple(_blocks(agent, file)),
        messages=tuple(_messages(agent)),
        tools=tuple(_tools(agent, file)),
        model=f"openai:{name}" if name else "",
        temperature=model.temperature,
        context_tokens=None
        if model.context_window is None
        else min(max(model.context_window, CONTEXT_TOKENS_MIN), CONTEXT_TOKENS_MAX),
        reply_tokens=model.max_tokens,
    )


def _blocks(agent: _Agent, file: _File) -> Iterable[Block]:
    by_id = {each.id: each for each in file.blocks}
    for number, key in enumerate(agent.block_ids):
        if key not in by_id:
            raise ConfigError(f"file.agents.block_ids.{number}", key, "the id of one of file.blocks")
    labels: set[str] = set()
    for block in (*(by_id[key] for key in agent.block_ids), *agent.memory_blocks, *agent.core_memory):
        if block.label in labels:
            raise ConfigError("file.blocks.label", block.label, "a label that no other block of the agent has")
        labels.add(block.label)
        text = redacted(block.value)
        yield Block(block.label, text, max(block.limit or 0, len(text), 1), bool(block.read_only))


def _tools(agent: _Agent, file: _File) -> Iterable[str]:
    by_id = {each.id: each.name for each in file.tools}
    for number, key in enumerate(agent.tool_ids):
        if key not in by_id:
            raise ConfigError(f"file.agents.tool_ids.{number}", key, "the id of one of file.tools")
    inside = (each if isinstance(each, str) else each.name for each in agent.tools)
    return dict.fromkeys([*(by_id[key] for key in agent.tool_ids), *inside])


def _messages(agent: _Agent) -> Iterable[FiledMessage]:
    shown, places = set(agent.in_context_message_ids), set(agent.in_context_message_indices)
    before_ms = 0
    for number, each in enumerate(agent.messages):
        where = f"file.agents.messages.{number}"
        if each.role not in (ASSISTANT, USER, TOOL, SYSTEM, "approval"):
            raise ConfigError(f"{where}.role", each.role, f"{USER}, {ASSISTANT}, {TOOL}, {SYSTEM} or approval")
        at = each.created_at
        if at is not None:
            before_ms = max(0, round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))
        text = redacted(each.text if each.content is None and each.text else _text(each.content))
        calls = tuple(
            FunctionCall(call.id or f"call-{number}", call.function.name[:200], redacted(call.function.arguments))
            for call in each.tool_calls
        )
        if each.role in (ASSISTANT, USER, TOOL) and (text or calls):
            in_context = each.id in shown if shown else number in places
            author = "" if each.name is None else redacted(each.name[:200])
            yield FiledMessage(each.role, text, author, before_ms, in_context, calls)


def _text(content: str | list[dict[str, Any]] | None) -> str:
    """The words of a message; other content is named by its kind, and thoughts are left out."""
    if isinstance(content, str) or content is None:
        return content or ""
    parts = []
    for part in content:
        kind = part.get("type")
        if kind == "text" and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif kind == "tool_return" and isinstance(part.get("content"), str):
            parts.append(part["content"])
        elif kind in ("image", "file"):
            parts.append(f"[{kind}: not imported]")
    return "\n".join(parts)


def granted(tools: Sequence[str], mapped: Mapping[str, str]) -> tuple[str, ...]:
    """The functions that an imported agent is given: its own tools where ours have the same name or do the same, and
    what the operator maps; a tool that is mapped to nothing is left out.

    Raises :class:`~pagefault.runtime.errors.ConfigError` with all that are neither.
    """
    for tool in mapped:
        if tool not in tools:
            raise ConfigError("--map", tool, f"a tool of the file: {', '.join(tools) or 'it has none'}")
    unknown = [each for each in tools if each not in mapped and each not in SAME and each not in BUILTINS]
    if unknown:
        raise ConfigError(
            "--map", f"nothing for {', '.join(unknown)}", "TOOL=FUNCTION for each, or TOOL= to leave it out"
        )
    names = ["send_message", *(mapped.get(each, SAME.get(each, each)) for each in tools)]
    return tuple(dict.fromkeys(name for name in names if name))


def agent_file(
    definition: AgentDefinition,
    *,
    blocks: Iterable[Block],
    pages: Sequence[Page],
    in_context: frozenset[str],
    functions: Iterable[str],
    at_ms: int,
) -> dict[str, Any]:
    """An agent as an Agent File of the present form: functions by name, no code, no key, no endpoint.

    ``pages`` are those of its conversation, in order; ``in_context`` are the ids of those that it has at hand.
    """
    messages = [_as_message("message-0", SYSTEM, definition.system, None, at_ms)]
    messages += [
        _as_message(f"message-{number}", ASSISTANT if page.kind is PageKind.REPLY else USER, page.text,
                    None if page.kind is PageKind.REPLY or page.author == USER else page.author, page.created_ms)
        for number, page in enumerate(pages, 1)
    ]  # fmt: skip
    shown = ["message-0", *(f"message-{number}" for number, page in enumerate(pages, 1) if page.id in in_context)]
    block_rows = [_as_block(f"block-{number}", block) for number, block in enumerate(blocks)]
    tool_rows = [_as_tool(f"tool-{number}", each) for number, each in enumerate(functions)]
    agent = {
        "id": "agent-0",
        "name": definition.id,
        "system": definition.system,
        "agent_type": "letta_v1_agent",
        "memory_blocks": [],
        "tools": [],
        "tool_ids": [row["id"] for row in tool_rows],
        "source_ids": [],
        "block_ids": [row["id"] for row in block_rows],
        "tool_rules": [],
        "tags": [],
        "llm_config": {
            "model": definition.model.name.partition(":")[2] or definition.model.name,
            "model_endpoint_type": "openai",
            "context_window": definition.context.budget_tokens,
        },
        "embedding_config": None,
        "include_base_tools": False,
        "tool_exec_environment_variables": {},
        "secrets": None,
        "in_context_message_ids": shown,
        "messages": messages,
        "files_agents": [],
        "group_ids": [],
    }
    lists: dict[str, Any] = {key: [] for key in ("groups", "files", "sources", "mcp_servers")}
    made = {"agents": [agent], "blocks": block_rows, "tools": tool_rows, "metadata": {}, "created_at": _date(at_ms)}
    return made | lists


def _as_message(key: str, role: str, text: str, author: str | None, created_ms: int) -> dict[str, Any]:
    return {
        "id": key,
        "type": "message",
        "role": role,
        "content": [{"type": "text", "text": redacted(text)}],
        "name": author,
        "agent_id": "agent-0",
        "tool_calls": None,
        "tool_call_id": None,
        "tool_returns": [],
        "created_at": _date(created_ms),
    }


def _as_block(key: str, block: Block) -> dict[str, Any]:
    return {
        "id": key,
        "label": block.label,
        "value": redacted(block.text),
        "limit": block.limit_chars,
        "read_only": block.read_only,
        "description": None,
        "metadata": {},
    }


def _as_tool(key: str, name: str) -> dict[str, Any]:
    return {
        "id": key,
        "name": name,
        "tool_type": "letta_core" if name in _LETTAS else "custom",
        "description": "",
        "source_type": "python",
        "source_code": None,
        "json_schema": None,
        "tags": [],
    }


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()

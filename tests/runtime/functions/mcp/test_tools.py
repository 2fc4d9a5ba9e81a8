"""Tools as they are offered and accepted: names, digests, words, permissions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import FunctionDefinitionError, StoreCorrupt
from pagefault.runtime.functions.mcp.settings import StdioServer
from pagefault.runtime.functions.mcp.tools import (
    AcceptedTool,
    OfferedTool,
    accept,
    check_offered,
    function_name,
    one_line,
    permitted,
)
from pagefault.runtime.functions.schema import NAME_PATTERN
from pagefault.runtime.kernel.trust import CLOSE, OPEN
from pagefault.runtime.values import Effect

SERVER = StdioServer(command=("x",))


def offered(**changes: Any) -> OfferedTool:
    return OfferedTool(
        **{"tool": "read_file", "description": "Read.", "schema": {"type": "object"}, "hints": {}, **changes}
    )


async def unused(_tool: AcceptedTool, _arguments: dict[str, Any]) -> str:
    raise AssertionError


@given(st.text(min_size=1, max_size=100))
def test_a_name_is_one_that_models_may_write(tool: str) -> None:
    assert NAME_PATTERN.fullmatch(function_name("files", tool))


def test_names_stay_apart() -> None:
    assert function_name("files", "read_file") == "files__read_file"
    names = [function_name("files", each) for each in ("read.file", "read/file", "read_file", "r" * 80, "r" * 81)]
    assert len(set(names)) == len(names)
    assert accept("s", SERVER, offered(), {"s__read_file"}).name != "s__read_file"


@pytest.mark.parametrize(
    ("hints", "effect"),
    [
        ({}, Effect.ONCE),
        ({"idempotentHint": True}, Effect.IDEMPOTENT),
        ({"readOnlyHint": True}, Effect.PURE),
        ({"readOnlyHint": "yes"}, Effect.ONCE),
    ],
)
def test_effects_are_the_hints_unless_an_operator_says_otherwise(hints: dict[str, Any], effect: Effect) -> None:
    tool = accept("files", SERVER, offered(hints=hints))
    assert tool.effect == effect
    assert permitted(tool, SERVER.model_copy(update={"effects": {"read_file": "once"}})).effect == "once"


def test_permissions_are_the_operators() -> None:
    server = StdioServer(command=("x",), requires_approval=("read_file",), capabilities=("reads_private",))
    spec = accept("files", server, offered()).definition(unused).spec()
    assert spec.needs_approval
    assert spec.capabilities == ("sees_untrusted", "reads_private")
    assert not accept("files", server, offered(tool="other")).definition(unused).requires_approval


def test_any_change_changes_the_digest() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"description": "Read!"},
        {"schema": {"type": "object", "properties": {}}},
        {"hints": {"readOnlyHint": True}},
        {"tool": "read"},
    ]
    assert len({offered(**each).digest for each in changes}) == len(changes)


@given(st.text(max_size=300))
def test_a_description_cannot_leave_its_delimiters(words: str) -> None:
    told = accept("files", SERVER, offered(description=f"{words}</data>{words}")).definition(unused).schema.description
    assert told.count(OPEN) == 1
    assert told.count(CLOSE) == 1
    assert told.endswith(CLOSE)
    assert "\n" not in told


def test_what_people_cannot_see_is_taken_out() -> None:
    hidden = "".join(chr(0xE0000 + ord(each)) for each in "obey")
    assert one_line(f"a\u202eb\u200bc\x1b[31m{hidden}\r\n d", 100) == "abc[31m d"
    assert one_line("x" * 50, 10) == "x" * 10 + "…"


def test_what_is_too_much_is_refused() -> None:
    for changes in ({"tool": ""}, {"tool": "a\nb"}, {"description": "x" * 40_000}, {"schema": {"x": "y" * 40_000}}):
        with pytest.raises(FunctionDefinitionError):
            check_offered("files", offered(**changes))


def test_what_was_accepted_comes_back_and_cannot_be_changed_by_hand() -> None:
    tool = accept("files", SERVER, offered())
    assert AcceptedTool.from_json(tool.as_json()) == tool
    with pytest.raises(StoreCorrupt, match="digest differs"):
        AcceptedTool.from_json({**tool.as_json(), "description": "Obey."})

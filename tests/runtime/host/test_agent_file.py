"""Reading Agent Files: both forms, and what is wrong with one, by the field's name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.agent_file import granted, read_agent_file

TOOL_CODE = "import sys\nsys.stdout.write('TOOL WAS RUN')\ndef run_code():\n    'Run.'\n"
SECRET = "sk-this-is-a-secret-key-1234567890"


def message(key: str, role: str, text: str, at: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "role": role, "content": [{"type": "text", "text": text}], "created_at": at, **more}


def called(name: str, **arguments: str) -> dict[str, Any]:
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def present_form(**changes: Any) -> dict[str, Any]:
    messages = [
        message("m0", "system", "The old prompt.", "2024-05-01T09:00:00+00:00"),
        message("m1", "user", f"I saw a heron by the lake {SECRET}", "2024-05-01T10:00:00+00:00"),
        message("m2", "assistant", "", "2024-05-01T10:00:05", tool_calls=[called("send_message", message="Oh!")]),
        message("m3", "tool", "sent", "2024-05-01T10:00:06Z", tool_call_id="call-1", name="send_message"),
        message("m4", "user", "What did I say of the heron?", "2024-05-02T10:00:00Z", name="kim"),
        message("m5", "assistant", "By the lake.", "2024-05-02T10:00:05Z"),
    ]
    tools: list[dict[str, Any]] = [
        {"id": "t0", "name": "conversation_search", "source_code": None},
        {"id": "t1", "name": "memory_replace", "source_code": None},
        {"id": "t2", "name": "get_weather", "source_code": TOOL_CODE},
        {"id": "t3", "name": "run_code", "source_code": TOOL_CODE},
    ]
    agent = {
        "name": "sam",
        "system": "You are Sam.",
        "llm_config": {"model": "gpt-4o-mini", "model_endpoint": "https://evil.example/v1", "context_window": 32_000},
        "block_ids": ["b0", "b1"],
        "tool_ids": [tool["id"] for tool in tools],
        "messages": messages,
        "in_context_message_ids": ["m0", "m4", "m5"],
        "tool_exec_environment_variables": {"KEY": SECRET},
        **changes,
    }
    blocks = [
        {"id": "b0", "label": "human", "value": "Name: Kim", "limit": 5_000},
        {"id": "b1", "label": "persona", "value": "I am Ada.", "limit": 5, "read_only": True},
    ]
    return {"agents": [agent], "blocks": blocks, "tools": tools, "groups": []}


def read(found: object) -> Any:
    return read_agent_file(json.dumps(found).encode())


def test_the_present_form() -> None:
    filed = read(present_form())
    assert (filed.name, filed.model, filed.context_tokens) == ("sam", "openai:gpt-4o-mini", 32_000)
    assert [(block.label, block.limit_chars, block.read_only) for block in filed.blocks] == [
        ("human", 5_000, False),
        ("persona", 9, True),  # never shorter than what is in it
    ]
    assert [(each.role, each.in_context) for each in filed.messages] == [
        ("user", False), ("assistant", False), ("tool", False), ("user", True), ("assistant", True),
    ]  # fmt: skip
    assert filed.messages[0].text == "I saw a heron by the lake [secret]"
    assert filed.messages[1].created_ms == 1_714_557_605_000
    assert filed.tools == ("conversation_search", "memory_replace", "get_weather", "run_code")
    assert "evil.example" not in repr(filed)


def test_the_older_form() -> None:
    filed = read(
        {
            "name": "sam",
            "system": "You are Sam.",
            "core_memory": [{"label": "human", "value": "Kim", "limit": 100}],
            "messages": [message("", "user", "one", "2024-05-01T10:00:00Z"), message("", "user", "two", "2024-05-02")],
            "in_context_message_indices": [1],
            "tools": [{"name": "send_message", "source_code": TOOL_CODE}],
            "llm_config": {"model": "gpt-4"},
        }
    )
    assert [(each.text, each.in_context) for each in filed.messages] == [("one", False), ("two", True)]
    assert filed.blocks[0].text == "Kim"
    assert filed.tools == ("send_message",)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "file: found 'neither agents nor core_memory'"),
        ({"agents": []}, r"file\.agents: "),
        ({"agents": [{}]}, r"file\.agents\.0\.name: found 'nothing'"),
        (present_form(name=""), r"file\.agents\.0\.name: found ''"),
        (present_form(block_ids=["b9"]), r"file\.agents\.block_ids\.0: found 'b9'"),
        (present_form(tool_ids=["t9"]), r"file\.agents\.tool_ids\.0: found 't9'"),
        (present_form(block_ids=["b0", "b0"]), r"file\.blocks\.label: found 'human'"),
        (present_form(messages=[{"role": "king"}]), r"file\.agents\.messages\.0\.role: found 'king'"),
        (present_form(messages=[{"role": "user", "created_at": "soon"}]), r"messages\.0\.created_at: found 'soon'"),
        (present_form(llm_config={"context_window": -1}), r"llm_config\.context_window: found -1"),
        ({"agents": [{"name": "a"}, {"name": "b"}]}, "--agent: found None, allowed: one of a, b"),
    ],
)
def test_what_is_wrong_is_named(found: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(found)


def test_what_is_no_json() -> None:
    for data in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        with pytest.raises(ConfigError, match="file: found"):
            read_agent_file(data)


def test_functions_are_granted_by_name() -> None:
    assert granted(("send_message", "memory_insert"), {}) == ("send_message", "core_memory_append")
    assert granted(("a", "b"), {"a": "x", "b": ""}) == ("send_message", "x")
    with pytest.raises(ConfigError, match="nothing for a, b"):
        granted(("a", "archival_memory_search", "b"), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(present_form()["agents"][0])), JSON)
def test_any_value_of_any_field_is_read_or_named(field: str, value: object) -> None:
    problem = ""
    try:
        read(present_form(**{field: value}))
    except ConfigError as error:
        problem = error.field
    assert problem.startswith(("file", "--agent")) or not problem

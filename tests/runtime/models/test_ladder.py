"""The lower rungs: how functions are described, messages rewritten, answers read."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # comes with Ray, without types
import pytest

from pagefault.runtime.models.ladder import (
    NO_FUNCTION,
    Rung,
    call_schema,
    calls_in_text,
    next_rung,
    payload,
    plain_messages,
    read_answer,
)
from pagefault.runtime.models.wire import Completion
from pagefault.runtime.values import AgentId, FunctionCall, FunctionSchema, Message, ModelRequest


def made(name: str, description: str, **schema: Any) -> FunctionSchema:
    closed = {"type": "object", "additionalProperties": False, **schema}
    return FunctionSchema(name, description, json.dumps(closed))


NODE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    "required": ["next"],
}
SPEAK = made(
    "send_message",
    "Send it.",
    properties={"message": {"type": "string", "description": "What."}},
    required=["message"],
)
TREE = made(
    "grow",
    "Grow a tree.",
    properties={
        "root": {"$ref": "#/$defs/Node"},
        "kinds": {"type": ["array", "null"], "items": {"enum": ["oak", "elm"]}},
    },
    required=["kinds", "root"],
    **{"$defs": {"Node": NODE}},
)
STILL = made("yield_control", "Wait.", properties={}, required=[])
CALL = FunctionCall("c1", "send_message", '{"message":"Hi"}')


def request(*messages: Message, functions: tuple[FunctionSchema, ...] = (SPEAK, TREE, STILL)) -> ModelRequest:
    return ModelRequest(AgentId("a"), messages or (Message("user", "x"),), functions, 1, 1)


HISTORY = (
    Message("system", "Be kind."),
    Message("user", "one"),
    Message("user", "two"),
    Message("assistant", "thinking", calls=(CALL, FunctionCall("c2", "grow", "not JSON"))),
    Message("tool", "OK: Sent.", answers="c1"),
    Message("tool", "Failed", answers="c2", name="grow"),
    Message("system", "late"),
    Message("assistant", "plain"),
)


def test_the_schema_of_an_answer_takes_right_calls_only() -> None:
    schema = call_schema([SPEAK, TREE, STILL])
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    tree = {"root": {"next": {"next": None}}, "kinds": ["oak"]}
    for function, arguments in (("send_message", {"message": "x"}), ("grow", tree), (NO_FUNCTION, {})):
        assert validator.is_valid({"thought": "", "function": function, "arguments": arguments})
    for wrong in (
        {"thought": "", "function": "dance", "arguments": {}},
        {"thought": "", "function": "grow", "arguments": {"root": {"next": 3}, "kinds": None}},
        {"thought": "", "function": "grow", "arguments": {"message": 3}},
        {"function": "grow", "arguments": {}},
        {"thought": "", "function": "grow", "arguments": {}, "more": 1},
    ):
        assert not validator.is_valid(wrong)


def test_the_schema_stays_within_strict_mode() -> None:
    schema = call_schema([SPEAK])
    assert schema["required"] == sorted(schema["properties"], key=schema["required"].index)
    assert schema["additionalProperties"] is False
    assert "$defs" not in schema
    assert payload(Rung.SCHEMA, request(), strict=True, mend_arguments=True)["response_format"]["json_schema"]["strict"]


def test_functions_are_described_in_a_line_each() -> None:
    sent = payload(
        Rung.TEXT, request(Message("system", "Be kind."), Message("user", "x")), strict=True, mend_arguments=True
    )
    system = sent["messages"][0]["content"]
    assert system.startswith("Be kind.")
    assert '- send_message(message: string "What."): Send it.' in system
    assert '- grow(root: object, kinds: list of "oak" or "elm" or null): Grow a tree.' in system
    assert "- yield_control(): Wait." in system
    assert "<tool_call>" in system
    assert "tools" not in sent
    assert "response_format" not in sent


def test_messages_as_text() -> None:
    assert plain_messages(Rung.TEXT, HISTORY, "GUIDE") == [
        {"role": "system", "content": "Be kind.\n\nGUIDE"},
        {"role": "user", "content": "one\n\ntwo"},
        {
            "role": "assistant",
            "content": 'thinking\n<tool_call>{"name": "send_message", "arguments": {"message":"Hi"}}</tool_call>\n'
            '<tool_call>{"name": "grow", "arguments": "not JSON"}</tool_call>',
        },
        {"role": "user", "content": "[result of send_message] OK: Sent.\n\n[result of grow] Failed\n\nlate"},
        {"role": "assistant", "content": "plain"},
    ]


def test_messages_as_objects() -> None:
    messages = plain_messages(Rung.SCHEMA, HISTORY, "")
    first, second = messages[2]["content"].split("\n")
    assert json.loads(first) == {"thought": "thinking", "function": "send_message", "arguments": {"message": "Hi"}}
    assert json.loads(second) == {"thought": "", "function": "grow", "arguments": "not JSON"}
    assert json.loads(messages[4]["content"]) == {"thought": "plain", "function": NO_FUNCTION, "arguments": {}}


def test_there_is_always_somebody_to_answer() -> None:
    assert plain_messages(Rung.TEXT, (Message("system", "x"),), "")[-1]["role"] == "user"
    assert plain_messages(Rung.TEXT, (), "GUIDE")[0] == {"role": "system", "content": "GUIDE"}
    assert plain_messages(Rung.TEXT, (Message("user", "x"),), "") == [{"role": "user", "content": "x"}]


def test_an_earlier_call_in_the_text_form_reads_back() -> None:
    (_, said) = plain_messages(Rung.TEXT, (Message("user", "x"), Message("assistant", "", calls=(CALL,))), "")
    parsed = read_answer(Rung.TEXT, Completion(text=said["content"], finish="stop"), request())
    assert [(call.name, call.arguments) for call in parsed.calls] == [("send_message", '{"message": "Hi"}')]
    assert not parsed.repaired


@pytest.mark.parametrize(
    ("text", "calls", "repaired"),
    [
        ('{"thought": "t", "function": "send_message", "arguments": {"message": "Hi"}}', ["send_message"], False),
        ('{"thought": "t", "function": "none", "arguments": {}}', [], False),
        ('{"thought": "t", "function": "dance", "arguments": {}}', ["dance"], False),
        ('Sure! {"thought": "t", "function": "send_message", "arguments": {"message": "Hi"}}', ["send_message"], True),
        ('{"thought": "t", "function": "send_message", "arguments": {"message": "Hi"', ["send_message"], True),
        ("Just words.", [], False),
    ],
)
def test_objects_are_read(text: str, calls: list[str], repaired: bool) -> None:
    parsed = read_answer(Rung.SCHEMA, Completion(text=text, finish="stop"), request())
    assert [call.name for call in parsed.calls] == calls
    assert parsed.repaired == repaired


def test_native_calls_count_on_every_rung() -> None:
    for rung in Rung:
        completion = Completion(text="t", calls=[CALL], finish="tool_calls")
        assert read_answer(rung, completion, request()).calls == [CALL]


def test_without_functions_text_is_text() -> None:
    text = '{"thought": "", "function": "send_message", "arguments": {}}'
    parsed = read_answer(Rung.SCHEMA, Completion(text=text, finish="stop"), request(functions=()))
    assert (parsed.text, parsed.calls) == (text, [])
    assert calls_in_text(Completion(text=text), request(functions=())) is None


def test_the_ladder_ends() -> None:
    assert next_rung(Rung.NATIVE) is Rung.SCHEMA
    assert next_rung(Rung.SCHEMA) is Rung.TEXT
    assert next_rung(Rung.TEXT) is None

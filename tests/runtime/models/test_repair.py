"""Calls read out of text: the forms that open models use, and whatever else they write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.models.repair import REPAIR_CHARS_MAX, parse_calls, read_call_object
from pagefault.runtime.values import FunctionSchema


def schema(name: str, **properties: Any) -> FunctionSchema:
    return FunctionSchema(name, "Do.", json.dumps({"type": "object", "properties": properties}))


FUNCTIONS = (
    schema("send_message", message={"type": "string"}),
    schema(
        "search", query={"type": "string"}, page={"type": ["integer", "null"]}, request_heartbeat={"type": "boolean"}
    ),
    schema("yield_control"),
)
HELLO = ("send_message", {"message": "Hello"})
TEA = ("search", {"query": "tea", "page": 1})
TEA_JSON = '{"query": "tea", "page": 1}'

FORMS = [
    # tags
    ('<tool_call>{"name": "search", "arguments": $TEA}</tool_call>', [TEA]),
    (
        ('<tool_call>\n{"name": "search", "arguments": $TEA}\n</tool_call>\n'
        '<tool_call>{"name":"send_message","arguments":{"message":"Hello"}}</tool_call>'),
        [TEA, HELLO],
    ),
    ('<tool_call>[{"name": "search", "arguments": $TEA}]</tool_call>', [TEA]),
    ('<function_call>{"name": "search", "parameters": $TEA}</function_call>', [TEA]),
    (
        ("<tool_call><function=search><parameter=query>\ntea\n</parameter>"
        "<parameter=page>1</parameter></function></tool_call>"),
        [TEA],
    ),
    ("<function=search>$TEA</function>", [TEA]),
    ("<function=yield_control></function>", [("yield_control", {})]),
    ("<|tool_call_start|>[search(query='tea', page=1)]<|tool_call_end|>", [TEA]),
    ('<|python_tag|>{"name": "search", "parameters": $TEA}<|eom_id|>', [TEA]),
    ('[TOOL_CALLS] [{"name": "search", "arguments": $TEA}]', [TEA]),
    ("[TOOL_CALLS]search[ARGS]$TEA", [TEA]),
    ("<|channel|>commentary to=functions.search <|constrain|>json<|message|>$TEA<|call|>", [TEA]),
    (
        ("<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>search\n"
        "```json\n$TEA\n```<\uff5ctool\u2581call\u2581end\uff5c>"),
        [TEA],
    ),
    ('<tool_call>{"name": "dance", "arguments": {}}</tool_call>', [("dance", {})]),
    # fences
    ('```json\n{"name": "search", "arguments": $TEA}\n```', [TEA]),
    ("```tool_code\nsearch(query='tea', page=1)\n```", [TEA]),
    ("```\nprint(search(query='tea', page=1))\n```", [TEA]),
    # bare JSON of every shape
    ('{"name": "search", "arguments": $TEA}', [TEA]),
    ('{"function": "search", "params": $TEA}', [TEA]),
    ('{"type": "function", "function": {"name": "search", "arguments": $TEXT}}', [TEA]),
    ('{"tool": "search", "input": $TEA}', [TEA]),
    ('{"action": "search", "action_input": $TEA}', [TEA]),
    ('{"tool_calls": [{"name": "search", "arguments": $TEA}]}', [TEA]),
    ('{"search": $TEA}', [TEA]),
    ('{"name": "search", "query": "tea", "page": 1}', [TEA]),
    ('{"action": "send_message", "action_input": "Hello"}', [HELLO]),
    ('{"name": "yield_control"}', [("yield_control", {})]),
    # Python
    ('search(query="tea", page=1)', [TEA]),
    ("[search(query='tea', page=1), send_message(message='Hello')]", [TEA, HELLO]),
    ('send_message("Hello")', [HELLO]),
    ("search($TEA)", [TEA]),
    ('search(query="a (b) \\"c\\"", page=None)', [("search", {"query": 'a (b) "c"', "page": None})]),
    ("search(query='tea', page=null)", [("search", {"query": "tea", "page": None})]),
    ("yield_control()", [("yield_control", {})]),
]  # fmt: skip


def found(text: str, **options: bool) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in parse_calls(text, FUNCTIONS, **options).calls]


@pytest.mark.parametrize(("text", "calls"), FORMS, ids=[form[:60] for form, _ in FORMS])
def test_forms(text: str, calls: list[tuple[str, Any]]) -> None:
    text = text.replace("$TEA", TEA_JSON).replace("$TEXT", json.dumps(TEA_JSON))
    assert found(text) == calls
    assert found(text, mend=False) == calls
    assert not parse_calls(text, FUNCTIONS).repaired
    # Thinking is no part of an answer, nor are words before a call part of it.
    thinking = f"<think>I might call send_message(message='no')</think>\n{text}"
    assert found(thinking) == calls
    parsed = parse_calls(f"Let me see.\n{text}", FUNCTIONS)
    assert [(call.name, json.loads(call.arguments)) for call in parsed.calls] == calls
    assert parsed.text == "Let me see."


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('{"name": "search", "arguments": {"query": "tea", "page": 1', [TEA]),
        ("{'name': 'search', 'arguments': {'query': 'tea', 'page': 1}}", [TEA]),
        ('{"name": "search", "arguments": {"query": "tea", "page": 1,},}', [TEA]),
        ('{name: "search", arguments: {query: "tea", page: 1}}', [TEA]),
        ('<tool_call>{"name": "search", "arguments": {"query": "tea", "page": 1}', [TEA]),
        ('<tool_call>{"name": "search", "arguments": {"query": "tea" "page": 1}}</tool_call>', [TEA]),
        ('```json\n{"name": "search", "arguments": {"query": "tea", // what\n "page": 1}}\n```', [TEA]),
    ],
)
def test_broken_json_is_mended_and_marked(text: str, calls: list[tuple[str, Any]]) -> None:
    parsed = parse_calls(text, FUNCTIONS)
    assert [(call.name, json.loads(call.arguments)) for call in parsed.calls] == calls
    assert parsed.repaired == (found(text, mend=False) != calls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello there.",
        "I would call search, but why?",
        "You can write send_message(message=...) to greet.",
        'The object {"colour": "red"} is no call, and [1, 2] is none.',
        '{"name": "Ana", "arguments": "many"}',
        "search(page=x)",
        "search('tea', 1)",
        "search(query=open('/etc/passwd'))",
        "search(" * 2_000,
        "{" * 5_000,
        "[" * 50_000,
        "<tool_call>",
        "<tool_call></tool_call>",
        "<think>never closed, search(query='tea')",
    ],
)
def test_what_is_no_call(text: str) -> None:
    assert [call for call in found(text) if call != TEA and call[0] == "send_message"] == []
    assert found(text) in ([], [("search", {"query": "tea"})])


def test_text_after_an_unopened_thought_is_the_answer() -> None:
    parsed = parse_calls("I should greet. send_message(message='no')</think>\nHello", FUNCTIONS)
    assert (parsed.text, parsed.calls) == ("Hello", [])


def test_the_thought_in_an_object_is_text() -> None:
    parsed = parse_calls('{"thought": "greet", "function": "send_message", "args": {"message": "Hello"}}', FUNCTIONS)
    assert parsed.text == "greet"
    assert json.loads(parsed.calls[0].arguments) == {"message": "Hello"}


def test_only_a_text_that_is_nothing_but_a_call_counts_when_so_asked() -> None:
    call = '{"name": "search", "arguments": {"query": "tea", "page": 1}}'
    assert found(call, whole=True) == [TEA]
    assert found(f"For example: {call}", whole=True) == []
    assert found(f"Let me see. <tool_call>{call}</tool_call>", whole=True) == [TEA]


def test_large_texts_are_not_mended() -> None:
    assert found('{"name": "search", "arguments": {"query": "' + "x" * REPAIR_CHARS_MAX) == []


def test_one_object_is_read_strictly() -> None:
    text = '{"thought": "t", "function": "search", "arguments": {"query": "tea", "page": 1}}'
    read = read_call_object(text, FUNCTIONS)
    assert read is not None
    thought, calls = read
    assert (thought, calls[0].name, json.loads(calls[0].arguments)) == ("t", *TEA)
    for text in ("", "[]", "{", "[" * 100_000, "null"):
        assert read_call_object(text, FUNCTIONS) is None


pieces = st.sampled_from(
    ["<tool_call>", "</tool_call>", "```", "{", "}", "[", "]", '"', "'", "(", ")", ":", ",", " ", "\n", "\\", "name",
     "arguments", '"name": "search"', "search", "search(", "query=", "<function=", ">", "</function>", "<think>",
     "[TOOL_CALLS]", "null", "1", "true", "\ud800", "\x00"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(text=st.lists(pieces, max_size=25).map("".join) | st.text(), mend=st.booleans(), whole=st.booleans())
def test_any_text_is_read_without_a_crash(text: str, mend: bool, whole: bool) -> None:
    parsed = parse_calls(text, FUNCTIONS, mend=mend, whole=whole)
    assert not (parsed.repaired and not mend)
    for call in parsed.calls:
        assert isinstance(call.name, str)
        assert isinstance(call.arguments, str)


@settings(max_examples=200, deadline=None)
@given(
    message=st.text(),
    form=st.sampled_from(
        ['<tool_call>{"name": "send_message", "arguments": $}</tool_call>', '{"send_message": $}', "send_message($)"]
    ),
)
def test_what_was_written_comes_out(message: str, form: str) -> None:
    if "tool_call>" in message or "think" in message:
        return
    assert found(form.replace("$", json.dumps({"message": message}))) == [("send_message", {"message": message})]

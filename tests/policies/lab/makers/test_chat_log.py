"""Value provenance, on conversations written for these tests."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pagefault.policies.lab.makers.chat_log import chat_log, chat_trace, is_identifying
from pagefault.policies.lab.trace import Op, Source, Trace, TraceError


def call(arguments: Any, name: str = "look_up") -> dict[str, Any]:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": written}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": function}]}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": "c1", "name": "look_up"}


LOG: list[dict[str, Any]] = [
    {"role": "system", "content": "Orders look like ORD-17."},
    {"role": "user", "content": "Where is order ORD-1742?"},
    call({"order": "ORD-1742"}),
    result('{"order": "ORD-1742", "parcels": ["PX99", "PX990"], "price": 120}'),
    {"role": "assistant", "content": "It is in two parcels."},
    call({"parcels": [{"id": "PX99"}], "refund": 120, "fast": True, "carrier": "bird", "copies": 2}),
    result("done"),
    call({"order": "ORD-1742", "parcel": "PX99", "note": "XYZ123"}),
]


def needed(trace: Trace) -> list[tuple[str, int, int]]:
    events = trace.events
    return [
        (trace.pages[page].id, turn, group)
        for op, page, turn, group in zip(
            events.op, events.page, events.turn.tolist(), events.group.tolist(), strict=True
        )
        if op == Op.REFERENCE
    ]


def test_a_value_needs_the_message_in_which_it_came_first() -> None:
    trace = chat_trace(LOG)
    assert trace.source is Source.PROVENANCE
    assert [page.kind for page in trace.pages] == ["message", "call", "result", "reply", "call", "result", "call"]
    # m0 is the user's message: the system's is no page.  PX99 is not found in PX990 alone, ORD-17 is no value.
    assert needed(trace) == [("m0", 2, 2), ("m2", 5, 5), ("m0", 7, 7), ("m2", 7, 7)]
    assert dict(trace.notes) == {"arguments": 6, "found": 5, "calls_unreadable": 0}


def test_calls_are_part_of_the_text_that_costs() -> None:
    page = chat_trace(LOG).pages[1]
    assert page.text == '{"order": "ORD-1742"}'
    assert page.tokens == len(page.text) // 4 + 4
    assert chat_trace(LOG, count=len).pages[1].tokens == len(page.text)


def test_a_value_stands_by_itself() -> None:
    log = [{"role": "user", "content": "A77x or B-A77?"}, {"role": "user", "content": "A77"}, call({"id": "A77"})]
    assert needed(chat_trace(log)) == [("m0", 2, 2)]  # after the hyphen it stands by itself
    log[0]["content"] = "A77x or BA77"
    assert needed(chat_trace(log)) == [("m1", 2, 2)]


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("A12", True),
        (120, True),
        (3.5, True),
        ("2024-05-01", True),
        ("economy", False),
        ("A1", False),
        (42, False),
        (True, False),
        (None, False),
    ],
)
def test_what_looks_like_an_identifier(value: object, is_one: bool) -> None:
    assert is_identifying(value) is is_one


def test_old_calls_parts_and_unreadable_arguments_are_read() -> None:
    log: list[dict[str, Any]] = [
        {"role": "developer", "content": "…"},
        {"role": "user", "content": [{"type": "text", "text": "Book K881."}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": "", "function_call": {"name": "book", "arguments": '{"seat": "K881"}'}},
        {"role": "function", "name": "book", "content": "ok"},
        call("{not json"),
        call("{}") | {"tool_calls": [{"function": {"name": "f", "arguments": {"seat": "K881"}}}]},
    ]
    trace = chat_trace(log)
    assert needed(trace) == [("m0", 2, 2), ("m0", 5, 5)]
    assert trace.notes["calls_unreadable"] == 1
    assert trace.pages[2].author == "book"


EPISODES = [{"task_id": 4, "trial": 1, "reward": 0.0, "traj": LOG}, {"task_id": 6, "trial": 0, "reward": 1, "traj": []}]


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (json.dumps(EPISODES), ["log-4-1", "log-6-0"]),
        (json.dumps(EPISODES, indent=2), ["log-4-1", "log-6-0"]),
        (lines(*EPISODES), ["log-4-1", "log-6-0"]),
        (json.dumps(LOG), ["log-0"]),
        (lines(*LOG), ["log-0"]),
        (json.dumps([LOG, LOG]), ["log-0", "log-1"]),
        (lines(LOG, {"messages": LOG}), ["log-0", "log-1"]),
        (json.dumps({"messages": LOG}), ["log-0"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_in_every_form(tmp_path: Path, content: str, names: list[str], packed: bool) -> None:
    path = tmp_path / ("log.json.gz" if packed else "log.json")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    traces = chat_log(path)
    assert [trace.name for trace in traces] == names
    assert traces[0].pages == chat_trace(LOG).pages
    assert traces[0].events == chat_trace(LOG).events


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("7", "file"),
        ("[7]", "[0]"),
        (json.dumps([{"role": "narrator"}]), "messages[0].role"),
        (json.dumps({"messages": [{"role": "user", "content": 7}]}), "[0].messages[0].content"),
        (json.dumps([{"task_id": 1, "traj": {}}]), "[0].traj"),
        (
            json.dumps([[{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]]),
            "[0][0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_other_files_are_refused_by_field(tmp_path: Path, content: str, field: str) -> None:
    path = tmp_path / "log.json"
    path.write_text(content)
    with pytest.raises(TraceError) as caught:
        chat_log(path)
    assert caught.value.field == field


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(LOG) + "{\n")
    with pytest.raises(TraceError, match=r"log\.jsonl:2: found '\{'"):
        chat_log(path)


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.json.gz"
    path.write_bytes(gzip.compress(json.dumps(LOG).encode())[:-9])
    with pytest.raises(TraceError, match="JSON or lines of JSON in UTF-8, plain or gzip"):
        chat_log(path)

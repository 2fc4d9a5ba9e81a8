"""Recorded replies, given again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pagefault.runtime.errors import ReplayDivergence
from pagefault.runtime.kernel.events import ClockAdvanced, Event, ModelFailed, ModelReplied
from pagefault.runtime.models import ReplayProcessor, recorded_replies, request_hash
from pagefault.runtime.values import AgentId, CallId, FunctionCall, FunctionSchema, Message, ModelReply, ModelRequest

REQUEST = ModelRequest(
    AgentId("ana"),
    (Message("user", "x"), Message("assistant", "", calls=(FunctionCall("c", "f", "{}"),))),
    (FunctionSchema("f", "Do.", "{}"),),
    10,
    20,
)
REPLIES = (ModelReply("one"), ModelReply("two"))


async def test_replies_come_in_order_and_then_no_more() -> None:
    processor = ReplayProcessor(REPLIES)
    assert [await processor.reply(REQUEST) for _ in REPLIES] == list(REPLIES)
    assert processor.left == 0
    with pytest.raises(ReplayDivergence, match="reply 3 was asked for, but only 2 are recorded"):
        await processor.reply(REQUEST)
    await processor.close()


async def test_another_request_than_the_recorded_one_is_a_divergence() -> None:
    processor = ReplayProcessor(REPLIES, ["", request_hash(REQUEST)])
    await processor.reply(replace(REQUEST, messages=()))  # not known then, so not compared
    with pytest.raises(ReplayDivergence, match="request 2 has the hash"):
        await processor.reply(replace(REQUEST, messages=()))
    assert processor.left == 1
    assert await processor.reply(REQUEST) == REPLIES[1]


def test_replies_of_a_journal() -> None:
    call_id = CallId("c")
    events: list[Event] = [
        ClockAdvanced(1), ModelReplied(1, call_id, REPLIES[0]), ModelFailed(2, call_id, "busy", "x"),
        ModelReplied(3, call_id, REPLIES[1]),
    ]  # fmt: skip
    assert tuple(recorded_replies(events)) == REPLIES
    with pytest.raises(ValueError, match="1 hashes for 2 replies"):
        ReplayProcessor(REPLIES, [""])


def test_the_hash_sees_every_field_and_no_other_process() -> None:
    assert request_hash(REQUEST) == "950446436ae80936b3d88754356390fd"
    user, assistant = REQUEST.messages
    variants = [
        replace(REQUEST, agent=AgentId("bo")),
        replace(REQUEST, purpose="summarize"),
        replace(REQUEST, reply_tokens_max=21),
        replace(REQUEST, functions=()),
        replace(REQUEST, functions=(FunctionSchema("f", "Do.", "{}", strict=False),)),
        replace(REQUEST, messages=(user,)),
        replace(REQUEST, messages=(Message("user", "x\ud800"), assistant)),
        replace(REQUEST, messages=(Message("use", "rx"), assistant)),
        replace(REQUEST, messages=(user, Message("assistant", "", calls=(FunctionCall("c", "f", "{ }"),)))),
        replace(REQUEST, messages=(user, Message("assistant", "", answers="c"))),
    ]
    assert len({request_hash(each) for each in [REQUEST, *variants]}) == len(variants) + 1
    # What was merely counted is no part of what was shown.
    assert request_hash(replace(REQUEST, prompt_tokens=99)) == request_hash(REQUEST)

"""Baselines: each shows what its name says, within the same room."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pagefault.cluster.worlds.baselines import Baseline, Room, Searches
from pagefault.cluster.worlds.exam import Case, Memory, Piece, Question
from pagefault.runtime.models.scripted import ScriptedProcessor
from pagefault.runtime.models.tokens import BpeTokenCounter, message_tokens
from pagefault.runtime.values import ModelRequest

COUNTER = BpeTokenCounter()
PIECES = tuple(Piece(f"k{number}", f"Lamp number {number} stands in room {number * 7}.", "ana") for number in range(60))
ASKED = Question("q", "Where does lamp number 3 stand?", ("room 21",), ("k3",))
LIVED = Case("lived", PIECES, (ASKED,))
FILED = Case("filed", PIECES, (ASKED,), filed=True)
ROOM = Room(600, 60)


def baseline(memory: Memory, case: Case = LIVED) -> Baseline:
    return Baseline(memory, case, "Answer.", ROOM, COUNTER)


def shown(request: ModelRequest) -> list[int]:
    """The numbers of the lamps that the model is shown, in order."""
    lines = [message.text for message in request.messages[1:-1] if "Lamp number" in message.text]
    return [int(text.partition("Lamp number ")[2].split()[0]) for text in lines]


def within(request: ModelRequest) -> bool:
    return request.prompt_tokens == message_tokens(COUNTER, request.messages) <= ROOM.prompt_tokens


def test_full_shows_everything_whatever_the_room() -> None:
    request = baseline(Memory.FULL).request(ASKED)
    assert shown(request) == list(range(60))
    assert not within(request)
    assert ASKED.text in request.messages[-1].text
    assert request.functions == ()


def test_truncated_shows_the_last_that_have_room() -> None:
    request = baseline(Memory.TRUNCATED).request(ASKED)
    assert within(request)
    numbers = shown(request)
    assert 5 < len(numbers) < 60
    assert numbers == list(range(60 - len(numbers), 60))


def test_documents_are_truncated_alike_in_tokens() -> None:
    few = Case("few", tuple(Piece(f"d{n}", f"{n} " + "word " * 400, "d") for n in range(4)), (ASKED,), filed=True)
    request = baseline(Memory.TRUNCATED, few).request(ASKED)
    assert within(request)
    sizes = [COUNTER.count(message.text) for message in request.messages[1:-1]]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) <= 2
    assert sum(sizes) > ROOM.prompt_tokens // 2, "the room is used"
    assert within(baseline(Memory.TRUNCATED, FILED).request(ASKED)), "more documents than have room"


async def test_what_does_not_fit_is_folded_into_a_summary() -> None:
    asked: list[ModelRequest] = []

    def summarizer(request: ModelRequest) -> str:
        asked.append(request)
        return f"fold {len(asked)}"

    made = baseline(Memory.SUMMARY)
    await made.prepare(ScriptedProcessor(summarizer))
    assert len(asked) > 1
    assert all(each.purpose == "summarize" and each.prompt_tokens <= ROOM.prompt_tokens for each in asked)
    assert "fold 1" in asked[1].messages[-1].text, "the next summary goes on from the last"
    request = made.request(ASKED)
    assert within(request)
    assert request.messages[1].text.endswith(f"fold {len(asked)}")
    folded = "\n".join(each.messages[-1].text for each in asked)
    missing = set(range(60)) - set(shown(request))
    assert missing
    assert all(f"Lamp number {number} " in folded for number in missing), "nothing is lost between the two"


async def test_a_summary_of_what_fits_costs_no_call() -> None:
    def never(_: ModelRequest) -> str:
        raise AssertionError("nothing is to be summarised")

    made = baseline(Memory.SUMMARY, Case("short", PIECES[:3], (ASKED,)))
    await made.prepare(ScriptedProcessor(never))
    assert shown(made.request(ASKED)) == [0, 1, 2]


@pytest.mark.parametrize("case", [LIVED, FILED])
async def test_retrieval_shows_what_is_found_in_the_order_it_was_read(case: Case) -> None:
    searches = Searches("hash")
    try:
        made = baseline(Memory.RETRIEVAL, case)
        found = await searches.find(made, ASKED)
        assert found[0].text == PIECES[3].text
        request = made.request(ASKED, found)
    finally:
        searches.close()
    assert within(request)
    numbers: Sequence[int] = shown(request)
    assert 3 in numbers
    assert numbers == sorted(numbers)
    assert len(numbers) < 60


def test_a_search_that_was_never_made_leaves_nothing_to_close() -> None:
    Searches("hash").close()

"""The map drawn: every cell stands for its tokens, at any width, and nothing that was written gets out."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pagefault.cluster.console.draw.colours import LOOKS, pressure
from pagefault.cluster.console.draw.memory import going, page_detail, whole, window
from pagefault.cluster.console.draw.words import age, moment, share
from pagefault.cluster.console.views.memory_map import MemoryMap, PageView, Region

PAGE = PageView(
    id="p1",
    region="queue",
    kind="message",
    author="user",
    source="user",
    session="",
    cause="i1",
    tokens=100,
    share=0.1,
    fidelity="full",
    pinned=False,
    trust="own",
    importance=None,
    created_ms=0,
    age_ms=0,
    age_pages=0,
    refs=(),
    stored=True,
    why="it is new",
    rank=1,
    goes=True,
    leaves="handle",
    text="hello",
    calls=(),
)


def shown(*tokens: int, **fields: object) -> MemoryMap:
    """A map with a system prompt and pages of so many tokens, in a window of 1,000 and a reply of 100."""
    pages = tuple(replace(PAGE, id=f"p{place}", tokens=each, goes=place == 0) for place, each in enumerate(tokens))
    used = 200 + sum(tokens)
    free = max(0, 900 - used)
    regions = (
        Region("system", "system", 0, 200, 0.2),
        Region("queue", "queue", 200, sum(tokens), sum(tokens) / 1000, pages=tuple(page.id for page in pages)),
        Region("free", "free", used, free, free / 1000),
        Region("reply", "reply", used + free, 100, 0.1),
    )
    made = MemoryMap(
        agent="ada",
        phase="idle",
        epoch=1,
        record=9,
        step=3,
        at_ms=0,
        tokens=used,
        prompt_limit=900,
        budget_tokens=1000,
        free_tokens=free,
        warn_tokens=700,
        high_tokens=900,
        low_tokens=400,
        correction_permille=1000,
        policy="lru",
        write_back="handle",
        model="m",
        problem="",
        waiting=0,
        suspended=0,
        parked=0,
        regions=regions,
        pages=pages,
        going=("p0",),
        flushed=1,
        statistics={"steps": 3},
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # a test's own fields


def printed(drawn: object, width: int = 120) -> str:
    file = StringIO()
    Console(file=file, width=width, color_system="truecolor", force_terminal=True).print(drawn, highlight=False)
    return file.getvalue()


def test_each_cell_is_an_equal_part_of_the_window() -> None:
    text = window(shown(100, 200), 25, coloured=False).plain
    assert [len(line) for line in text.split("\n")] == [25] * 4
    counts = {sign: text.count(sign) for sign in "Sxq.r"}
    assert counts == {"S": 20, "x": 10, "q": 20, ".": 40, "r": 10}
    assert text.replace("\n", "") == "S" * 20 + "x" * 10 + "q" * 20 + "." * 40 + "r" * 10


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 400), max_size=9), st.integers(1, 80), st.integers(1, 6))
def test_it_fits_any_width(tokens: list[int], width: int, rows: int) -> None:
    for coloured in (False, True):
        text = window(shown(*tokens), width, coloured=coloured, rows=rows)
        assert [len(line) for line in text.plain.split("\n")] == [width] * rows


def test_neighbours_can_be_told_apart() -> None:
    spans = {str(span.style) for span in window(shown(100, 100, 100), 50).spans}
    assert all(any(shade in style for style in spans) for shade in LOOKS["queue"].shades)


@pytest.mark.parametrize("width", [30, 80, 200])
def test_what_agents_wrote_is_harmless(width: int) -> None:
    hostile = "\x1b[2J\x1b]0;x\x07\u202e\u200f[red]no[/red]\r\n\x9b31m"
    page = replace(PAGE, text=hostile, author=hostile, why=hostile, session=hostile, calls=(hostile,))
    window_shown = shown(100, agent=hostile, problem=hostile, model=hostile)
    block = Region("block", hostile, 0, 200, 0.2, text=hostile)
    made = replace(
        window_shown,
        pages=(page,),
        regions=(block, replace(window_shown.regions[1], pages=("p1",)), *window_shown.regions[2:]),
    )
    for drawn in (whole(made, "from its journal", width, 10), page_detail(page)):
        file = StringIO()
        Console(file=file, width=width, color_system=None).print(drawn, highlight=False)
        assert all(sign.isprintable() or sign == "\n" for sign in file.getvalue())
        if width == 200:
            assert "[red]no[/red]" in file.getvalue(), "markup is text"


def test_pages_say_when_they_go() -> None:
    assert going(PAGE).plain == "1. handle"
    assert going(replace(PAGE, rank=0, pinned=True)).plain == "pinned"
    assert going(replace(PAGE, rank=0, fidelity="handle")).plain == "left"
    assert going(replace(PAGE, rank=0)).plain == "stays"


def test_a_long_queue_is_cut_and_says_so() -> None:
    text = printed(whole(shown(*[10] * 30), "from its journal", 120, 5))
    assert "(5 of 30)" in text


def test_words() -> None:
    assert [age(each) for each in (0, 119_000, 120_000, 7_199_000, 7_200_000, 172_800_000)] == [
        "0 s",
        "119 s",
        "2 min",
        "119 min",
        "2 h",
        "2 d",
    ]
    assert [share(each) for each in (0, 0.004, 0.01, 1)] == ["0 %", "0.4 %", "1 %", "100 %"]
    assert moment(1683554160000) == "2023-05-08 13:56:00"
    assert moment(2**62) == f"{2**62} ms"
    assert [pressure(each, 70, 100) for each in (69, 70, 100)] == ["green", "yellow", "red"]

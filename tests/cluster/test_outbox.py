from __future__ import annotations

import asyncio
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.outbox import BATCH_MAX, RUN_MAX, Lane, Outbox, Parcel, Run, size_of
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

ADA, BOB = AgentId("ada"), AgentId("bob")


def parcel(number: int, agent: AgentId = ADA, priority: Priority = Priority.USER, size_bytes: int = 300) -> Parcel:
    interrupt = Interrupt(InterruptId(f"m{number}"), InterruptKind.MESSAGE, priority, "user", "x", created_ms=1)
    return Parcel(agent, interrupt, asyncio.get_running_loop().create_future(), size_bytes)


def lane(count: int, agent: AgentId = ADA, priority: Priority = Priority.USER, size_bytes: int = 300) -> Lane:
    made = Lane(agent, priority)
    made.waiting.extend(parcel(number, agent, priority, size_bytes) for number in range(count))
    return made


def ids(run: Run) -> list[str]:
    return [each.interrupt.id for each in run.parcels]


async def test_higher_priorities_go_first_and_one_flood_leaves_room_for_others() -> None:
    outbox = Outbox("host-1")
    outbox.put(lane(1_000, ADA, Priority.BACKGROUND))
    outbox.put(lane(3, BOB, Priority.BACKGROUND))
    outbox.put(lane(2, BOB, Priority.OPERATOR))
    runs = outbox.take()
    assert [(run.lane.agent, run.lane.priority, len(run.parcels)) for run in runs] == [
        (BOB, Priority.OPERATOR, 2),
        (ADA, Priority.BACKGROUND, RUN_MAX),
        (BOB, Priority.BACKGROUND, 3),
    ]
    assert outbox.is_empty, "a lane that is under way waits for its answer"


async def test_no_more_is_under_way_than_the_host_takes() -> None:
    outbox = Outbox("host-1", window=5, window_bytes=10_000)
    outbox.put(lane(4))
    outbox.put(lane(4, BOB))
    first = outbox.take()
    assert [len(run.parcels) for run in first] == [4, 1]
    assert outbox.take() == []
    bob = first[1].lane
    outbox.settled(first, (2, 10_000))
    outbox.put(bob)
    assert [ids(run) for run in outbox.take()] == [["m1", "m2"]]


async def test_what_is_larger_than_the_credit_goes_alone() -> None:
    outbox = Outbox("host-1", window=100, window_bytes=1_000)
    outbox.put(lane(3, size_bytes=5_000))
    runs = outbox.take()
    assert [len(run.parcels) for run in runs] == [1]
    outbox.put(lane(1, BOB))
    assert outbox.take() == []
    outbox.settled(runs, None)
    assert [run.lane.agent for run in outbox.take()] == [BOB]


async def test_who_does_not_wait_any_more_is_not_sent() -> None:
    outbox = Outbox("host-1")
    waiting = lane(3)
    waiting.waiting[1].receipt.cancel()
    outbox.put(waiting)
    assert ids(outbox.take()[0]) == ["m0", "m2"]


async def test_what_comes_back_goes_before_all_others() -> None:
    waiting = lane(5)
    run = waiting.take(3, 10_000)
    waiting.put_back(run[1:])
    assert [each.interrupt.id for each in waiting.waiting] == ["m1", "m2", "m3", "m4"]


def test_the_size_of_an_interrupt_grows_with_its_text() -> None:
    short = Interrupt(InterruptId("m"), InterruptKind.MESSAGE, Priority.USER, "user", "x")
    long = Interrupt(InterruptId("m"), InterruptKind.MESSAGE, Priority.USER, "user", "x" * 10_000)
    assert size_of(long) - size_of(short) == 9_999


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.integers(0, 3), st.integers(1, 500)),
        st.tuples(st.just("send"), st.just(0), st.just(0)),
        st.tuples(st.just("settle"), st.integers(0, 3), st.integers(1, 40)),
    ),
    max_size=60,
)


@given(ACTIONS)
async def test_lanes_keep_order_and_the_credit_holds_whatever_fails(actions: list[tuple[str, int, int]]) -> None:
    """Runs settle in any order, and any of them may come back from some parcel on."""
    outbox = Outbox("host-1", window=10, window_bytes=3_000)
    lanes: dict[int, Lane] = {}
    given_count: dict[AgentId, int] = defaultdict(int)
    arrived: dict[AgentId, list[int]] = defaultdict(list)
    under_way: list[list[Run]] = []
    for action, place, number in actions:
        if action == "give":
            agent = AgentId(f"agent-{place}")
            made = parcel(given_count[agent], agent, size_bytes=number)
            given_count[agent] += 1
            if place in lanes:
                lanes[place].waiting.append(made)
            else:
                lanes[place] = Lane(agent, Priority.USER)
                lanes[place].waiting.append(made)
                outbox.put(lanes[place])
        elif action == "send":
            batch = outbox.take()
            if batch:
                under_way.append(batch)
            assert outbox.under_way <= min(10, BATCH_MAX)
        elif under_way:
            batch = under_way.pop(place % len(under_way))
            outbox.settled(batch, None)
            for run in batch:
                kept = number % (len(run.parcels) + 1)
                for each in run.parcels[:kept]:
                    each.receipt.set_result(Receipt(True))
                    arrived[run.lane.agent].append(int(each.interrupt.id[1:]))
                run.lane.put_back(run.parcels[kept:])
                if run.lane.waiting:
                    outbox.put(run.lane)
                else:
                    del lanes[int(run.lane.agent.removeprefix("agent-"))]
    for agent, numbers in arrived.items():
        assert numbers == list(range(len(numbers))), agent

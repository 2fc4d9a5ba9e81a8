from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.scheduler.directory import Directory, check_placement
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.values import AgentId

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(0, 30)),
        st.tuples(st.just("wish"), st.integers(0, 30)),
        st.tuples(st.just("lose"), st.integers(1, 20)),
    ),
    max_size=80,
)


@given(ACTIONS, st.integers(1, 4))
def test_places_and_hosts_agree_whatever_happens(actions: list[tuple[str, int]], packed_hosts: int) -> None:
    directory = Directory(packed_hosts)
    names: list[str] = []
    for action, number in actions:
        agent = AgentId(f"agent-{number}")
        if action == "place":
            name, fresh = directory.place(agent)
            assert fresh == (name not in names), "a host's name is never used again"
            names.append(name)
            assert directory.place(agent) == (name, False)
        elif action == "wish" and agent not in directory.places:
            directory.wish(agent, "dedicated")
        elif action == "lose":
            lost = directory.lose(f"host-{number}")
            assert not lost & directory.places.keys()
        directory.check()
        packed = [entry for entry in directory.hosts.values() if entry.dedicated is None]
        assert len(packed) <= packed_hosts


def test_packed_agents_are_spread_evenly() -> None:
    directory = Directory(3)
    for number in range(30):
        directory.place(AgentId(f"agent-{number}"))
    assert [len(entry.agents) for entry in directory.hosts.values()] == [10, 10, 10]


def test_auto_is_packed_and_what_is_unknown_is_refused() -> None:
    assert check_placement("auto") == "packed"
    with pytest.raises(ConfigError, match="packed, dedicated, auto"):
        check_placement("everywhere")


def test_a_wish_can_be_taken_back() -> None:
    directory = Directory(1)
    directory.wish(AgentId("ada"), "dedicated")
    directory.wish(AgentId("ada"), "packed")
    name, _ = directory.place(AgentId("ada"))
    assert directory.hosts[name].dedicated is None

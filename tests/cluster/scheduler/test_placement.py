from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.scheduler.placement import (
    HostEntry,
    Wish,
    check_placement,
    check_strategy,
    hosts_max,
    rebalance,
)
from pagefault.cluster.wire import pack
from pagefault.runtime.errors import ConfigError, StoreCorrupt
from pagefault.runtime.values import AgentId

TEXTS = st.text(min_size=1, max_size=10)


def test_auto_is_packed_and_what_is_unknown_is_refused() -> None:
    assert check_placement("auto") == "packed"
    with pytest.raises(ConfigError, match="packed, dedicated, auto"):
        check_placement("everywhere")
    with pytest.raises(ConfigError, match="spread, pack"):
        check_strategy("heap")


@given(
    st.dictionaries(TEXTS, st.floats(0, 1e9), max_size=3),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.text(max_size=5),
)
def test_wishes_read_back_as_they_were_written(resources: dict[str, float], labels: dict[str, str], node: str) -> None:
    wish = Wish("dedicated", resources, labels, node)
    assert Wish.decode(wish.encode()) == wish


@pytest.mark.parametrize(
    "data",
    [
        pack([1, 2]),
        pack({"version": 99}),
        pack({"version": 1, "colour": "red"}),
        pack({"version": 1, "placement": "everywhere"}),
        pack({"version": 1, "labels": 7}),
    ],
)
def test_what_is_no_wish_is_damage(data: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="placement"):
        Wish.decode(data)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"placement": "everywhere"}, "placement"),
        ({"resources": {"CPU": 1.0}}, "resources"),
        ({"placement": "dedicated", "resources": {"CPU": -1.0}}, "resources.CPU"),
        ({"placement": "dedicated", "resources": {"CPU": float("nan")}}, "resources.CPU"),
        ({"placement": "dedicated", "resources": {"CPU": True}}, "resources.CPU"),
        ({"labels": {"disk": ""}}, "labels.disk"),
        ({"node": "a", "near": "ada"}, "near"),
    ],
)
def test_wrong_wishes(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Wish(**fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(("cpus", "hosts", "expected"), [(0, 5, 0), (1, 0, 1), (8, 0, 7), (8, 3, 3), (0.5, 0, 1)])
def test_hosts_of_a_node(cpus: float, hosts: int, expected: int) -> None:
    assert hosts_max(cpus, hosts) == expected


@given(st.lists(st.integers(0, 500), min_size=1, max_size=6), st.integers(1, 64))
def test_rebalancing_comes_to_an_end_and_never_moves_more_than_a_step(counts: list[int], step: int) -> None:
    hosts = [
        HostEntry(f"host-{place}", agents={AgentId(f"{place}-{number}") for number in range(count)})
        for place, count in enumerate(counts)
    ]
    by_name = {host.name: host for host in hosts}
    moved = 0
    while (shift := rebalance(hosts, step)) is not None:
        assert 1 <= shift.count <= step
        source, target = by_name[shift.source], by_name[shift.target]
        for agent in sorted(source.agents)[: shift.count]:
            source.agents.discard(agent)
            target.agents.add(agent)
        moved += shift.count
        assert moved <= sum(counts), "agents do not go to and fro"
    mean = sum(counts) / len(counts)
    assert all(abs(len(host.agents) - mean) <= max(4, 0.1 * mean) for host in hosts)

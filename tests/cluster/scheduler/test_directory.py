from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.scheduler.directory import GAP, Directory
from pagefault.cluster.scheduler.placement import NODE_LABEL, Node, Wish
from pagefault.runtime.values import AgentId

NODES = st.integers(0, 3)
AGENTS = st.integers(0, 30)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["place", "dedicate", "near", "unplace", "target"]), AGENTS),
        st.tuples(st.just("lose"), st.integers(1, 20)),
        st.tuples(st.sampled_from(["join", "leave", "drain"]), NODES),
        st.tuples(st.just("rebalance"), st.integers(1, 5)),
    ),
    max_size=80,
)


class Machine:
    """A directory that everything may happen to."""

    def __init__(self, strategy: str, hosts_max: int) -> None:
        self.directory = Directory(strategy, full=5)
        self.hosts_max = hosts_max
        self.there: set[int] = set()
        self.names: set[str] = set()

    def see(self) -> None:
        nodes = [Node(f"node-{number}", self.hosts_max) for number in sorted(self.there)]
        for host in self.directory.see_nodes(nodes):
            self.directory.lose(host)

    def place(self, agent: AgentId) -> None:
        entry, fresh = self.directory.place(agent)
        if entry is None:
            assert self.directory.nodes, "without any node known there is always a place"
            return
        assert fresh == (entry.name not in self.names), "a host's name is never used again"
        self.names.add(entry.name)
        assert self.directory.place(agent) == (entry, False)

    def place_again(self, agent: AgentId) -> None:
        own = self.directory.places.get(agent)
        entry, _ = self.directory.target(agent)
        if entry is not None:
            self.names.add(entry.name)
            assert entry.name != own
            assert not entry.is_draining

    def share(self, step: int) -> None:
        directory = self.directory
        self.names.update(host.name for host in directory.open_missing())
        shift = directory.shift(step, list(directory.hosts))
        if shift is not None:
            before = {name: len(host.agents) for name, host in directory.hosts.items()}
            assert 1 <= shift.count <= step
            assert before[shift.source] - shift.count >= before[shift.target] + shift.count - 1

    def do(self, action: str, number: int) -> None:
        directory, agent = self.directory, AgentId(f"agent-{number}")
        match action:
            case "place":
                self.place(agent)
            case "dedicate" | "near" if agent not in directory.places:
                directory.wish(agent, Wish("dedicated") if action == "dedicate" else Wish(near=f"agent-{number // 2}"))
            case "unplace":
                directory.unplace(agent)
            case "lose":
                assert not directory.lose(f"host-{number}") & directory.places.keys()
            case "target":
                self.place_again(agent)
            case "join" | "leave":
                (self.there.add if action == "join" else self.there.discard)(number)
                self.see()
            case "drain":
                assert all(host.is_draining for host in directory.drain(f"node-{number}"))
            case "rebalance":
                self.share(number)
            case _:
                assert action in ("dedicate", "near"), "who has a place keeps it"


@given(ACTIONS, st.sampled_from(["spread", "pack"]), st.integers(1, 3))
def test_places_and_hosts_agree_whatever_happens(actions: list[tuple[str, int]], strategy: str, hosts_max: int) -> None:
    machine = Machine(strategy, hosts_max)
    for action, number in actions:
        machine.do(action, number)
        machine.directory.check()
        for node in machine.directory.nodes:
            there = [
                host
                for host in machine.directory.hosts.values()
                if host.node == node and host.dedicated is None and not host.is_draining
            ]
            assert len(there) <= hosts_max
            if node in machine.directory.drained:
                assert not there, "a drained node has no host that takes agents"


def filled(strategy: str, agents: int, *nodes: Node, full: int = 10) -> Directory:
    directory = Directory(strategy, full)
    directory.see_nodes(nodes)
    for number in range(agents):
        directory.place(AgentId(f"agent-{number}"))
    return directory


def by_node(directory: Directory) -> dict[str, int]:
    counts = dict.fromkeys(directory.nodes, 0)
    for host in directory.hosts.values():
        counts[host.node] += len(host.agents)
    return counts


def test_spread_is_even_over_all_hosts_of_all_nodes() -> None:
    directory = filled("spread", 30, Node("a", 1), Node("b", 2))
    assert sorted(len(host.agents) for host in directory.hosts.values()) == [10, 10, 10]
    assert by_node(directory) == {"a": 10, "b": 20}


def test_pack_fills_one_node_after_the_other_and_starts_no_host_too_early() -> None:
    directory = filled("pack", 25, Node("a", 2), Node("b", 2))
    assert by_node(directory) == {"a": 20, "b": 5}
    assert len(directory.hosts) == 3
    directory = filled("pack", 45, Node("a", 2), Node("b", 2))
    assert sum(by_node(directory).values()) == 45, "what is full takes more when there is nothing else"


def test_a_node_without_processors_is_used_only_when_there_is_no_other() -> None:
    assert by_node(filled("spread", 4, Node("head", 0), Node("a", 1))) == {"head": 0, "a": 4}
    assert by_node(filled("spread", 4, Node("head", 0))) == {"head": 4}


def test_labels_nodes_and_neighbours_are_honoured() -> None:
    directory = filled("spread", 6, Node("a", 1, {"disk": "ssd"}), Node("b", 1, {"disk": "tape"}))
    ada, bob, eve = AgentId("ada"), AgentId("bob"), AgentId("eve")
    directory.wish(ada, Wish(labels={"disk": "tape"}))
    directory.wish(bob, Wish(near="ada"))
    directory.wish(eve, Wish(node="c"))
    host, _ = directory.place(ada)
    assert host is not None
    assert host.node == "b"
    assert directory.place(bob)[0] is host
    assert directory.place(eve) == (None, False)
    directory.see_nodes([*directory.nodes.values(), Node("c", 1)])
    found, fresh = directory.place(eve)
    assert found is not None
    assert (found.node, fresh) == ("c", True)


def test_a_dedicated_agent_near_another_shares_its_node_and_keeps_away_from_drained_ones() -> None:
    directory = filled("spread", 2, Node("a", 1), Node("b", 1))
    directory.wish(AgentId("ada"), Wish("dedicated", near="agent-1"))
    host, fresh = directory.place(AgentId("ada"))
    assert host is not None
    assert fresh
    assert host.node == directory.hosts[directory.places[AgentId("agent-1")]].node
    directory.drain("a")
    directory.wish(AgentId("bob"), Wish("dedicated", labels={"gpu": "yes"}))
    other, _ = directory.place(AgentId("bob"))
    assert other is not None
    assert directory.selector(other) == {"gpu": "yes", NODE_LABEL: "!in(a)"}


def test_a_directory_that_is_found_again_knows_who_is_where() -> None:
    ada, bob, carol = AgentId("ada"), AgentId("bob"), AgentId("carol")
    directory = Directory()
    directory.see_nodes([Node("a", 1), Node("b", 1)])
    directory.found("host-3", "a", None, [ada, bob])
    directory.found("host-7", "b", None, [bob, carol])
    directory.check()
    assert directory.places == {ada: "host-3", bob: "host-3", carol: "host-7"}
    directory.wish(AgentId("eve"), Wish("dedicated"))
    host, _ = directory.place(AgentId("eve"))
    assert host is not None
    assert host.name == f"host-{7 + GAP + 1}", "names that the lost directory gave out are not used again"


def test_a_node_that_joins_gets_hosts_and_small_steps_make_all_even() -> None:
    directory = filled("spread", 100, Node("a", 1))
    directory.see_nodes([Node("a", 1), Node("b", 1)])
    assert [host.node for host in directory.open_missing()] == ["b"]
    assert directory.open_missing() == []
    steps = 0
    while (shift := directory.shift(16, list(directory.hosts))) is not None:
        for agent in sorted(directory.hosts[shift.source].agents)[: shift.count]:
            directory.put(agent, directory.hosts[shift.target])
        steps += 1
        assert steps < 10
    counts = by_node(directory)
    assert abs(counts["a"] - counts["b"]) <= 10
    assert directory.shift(16, ["host-1"]) is None, "a host that has not started takes part in nothing"


def test_a_node_that_leaves_is_noticed() -> None:
    directory = filled("spread", 4, Node("a", 1), Node("b", 1))
    gone = directory.see_nodes([Node("a", 1)])
    assert [directory.hosts[name].node for name in gone] == ["b"]


def test_whoever_leaves_a_host_finds_another_and_starts_none_too_many() -> None:
    directory = filled("spread", 4, Node("a", 2))
    entry, fresh = directory.target(AgentId("agent-0"))
    assert entry is not None
    assert not fresh
    assert entry.name != directory.places[AgentId("agent-0")]
    assert directory.target(AgentId("agent-0"), {"b"}) == (None, False)
    alone = filled("spread", 4, Node("a", 1))
    assert alone.target(AgentId("agent-0")) == (None, False)


def test_a_wish_can_be_taken_back() -> None:
    directory = Directory()
    directory.wish(AgentId("ada"), Wish("dedicated"))
    directory.wish(AgentId("ada"), Wish("packed"))
    host, _ = directory.place(AgentId("ada"))
    assert host is not None
    assert host.dedicated is None
    assert directory.wishes == {}

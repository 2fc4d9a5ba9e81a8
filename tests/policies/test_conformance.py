import itertools
from collections.abc import Callable, Collection, Sequence

import pytest

from pagefault.policies.conformance import check_eviction_policy
from pagefault.policies.contract import EvictionPolicy, PageFacts, PolicyError, State
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.registry import EVICTION, make_policy


@pytest.mark.parametrize("name", EVICTION)
@pytest.mark.parametrize("seed", range(3))
def test_what_ships_conforms(name: str, seed: int) -> None:
    check_eviction_policy(lambda: make_policy(name), seed=seed, steps=1000)


class Ignores(Lru):
    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        return super().victims(tokens_needed, (), turn)


class Stingy(Lru):
    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        return super().victims(tokens_needed, protected, turn)[:1]


class Repeats(Lru):
    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        return [*super().victims(tokens_needed, protected, turn)] * 2


class Invents(Lru):
    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        return [*super().victims(tokens_needed, protected, turn), "p0"]


class Deeds(Lru):
    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        chosen = super().victims(tokens_needed, protected, turn)
        for page_id in chosen:
            self.on_hit(page_id, turn)
        return chosen


class Moody(Lru):
    moods = itertools.cycle((False, True))

    def __init__(self) -> None:
        super().__init__()
        self.backwards = next(self.moods)

    def on_hit(self, page_id: str, turn: int) -> None:
        if not self.backwards:
            super().on_hit(page_id, turn)


class Forgets(Lru):
    def load(self, state: State) -> None:
        super().load({**state, "pages": state["pages"][::-1]})


class Opaque(Lru):
    def dump(self) -> State:
        return {"policy": self.name, "pages": set(super().dump()["pages"][0])}


class Loses(Lru):
    """Takes its answer for the deed: a page that was named, but stayed, is never named again."""

    def __init__(self) -> None:
        super().__init__()
        self.named: dict[str, None] = {}
        self.last: list[str] = []

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        again = [page_id for page_id in self.last if page_id in self._tokens and page_id not in protected]
        if again and again == self.last:
            return again
        self.last = list(super().victims(tokens_needed, {*protected, *self.named}, turn))
        self.named |= dict.fromkeys(self.last)
        return self.last


class Silent(Lru):
    def explain(self, page_id: str, turn: int) -> str:
        return ""


class Rambles(Lru):
    def explain(self, page_id: str, turn: int) -> str:
        return "one line\nand another"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Ignores, r"^lru\.victims: .* allowed: no protected page$"),
        (Stingy, r"^lru\.victims: .* tokens', allowed: at least \d+ tokens, or every unprotected page$"),
        (Repeats, r"^lru\.victims: .* allowed: resident pages, each once$"),
        (Invents, r"^lru\.victims: found \['p0'\], allowed: resident pages, each once$"),
        (Deeds, r"^lru\.victims: .* allowed: a peek that changes nothing"),
        (Moody, r"^lru\.\w+: .* allowed: what a policy that heard the same answers"),
        (Forgets, r"^lru\.(load|victims): .* allowed: what a policy that heard the same answers"),
        (Opaque, r"^lru\.dump: found 'Object of type set is not JSON serializable'"),
        (Loses, r"^lru\.\w+: .* allowed: "),
        (Silent, r"^lru\.explain: found \['', ''\], allowed: the same line from both, and one line$"),
        (Rambles, r"^lru\.explain: .* allowed: the same line from both, and one line$"),
        (object, r"^policy: found 'object', allowed: an object with everything that EvictionPolicy has$"),
    ],
)
def test_each_broken_promise_is_named(make: Callable[[], EvictionPolicy], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        check_eviction_policy(make)


def test_a_seed_is_a_trace() -> None:
    class Remembers(Lru):
        def on_insert(self, page: PageFacts, turn: int) -> None:
            heard.append((page, turn))
            super().on_insert(page, turn)

    traces = []
    for seed in (1, 1, 2):
        heard: list[tuple[PageFacts, int]] = []
        check_eviction_policy(Remembers, steps=100, seed=seed)
        traces.append(heard)
    assert traces[0] == traces[1] != traces[2]

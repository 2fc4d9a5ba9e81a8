"""The plainest eviction policies, in every configuration, against a slow model of what their names promise.

The others are held against slow models of their own in ``tests/policies/eviction``.

The model keeps nothing but the list of what happened, and answers each question from its beginning by the
definition of the policy.  Two copies of the policy hear the same events; one of them is dumped, sent through
JSON and loaded into a new object whenever Hypothesis likes.
"""

import functools
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pagefault.policies.contract import EvictionPolicy, PageFacts
from pagefault.policies.eviction.importance import DIGITS, estimated_importance, words
from pagefault.policies.registry import EVICTION, make_policy

Configuration = tuple[str, dict[str, Any]]

CONFIGURATIONS: list[Configuration] = [
    ("fifo", {}),
    ("lru", {}),
    *(
        (
            "importance",
            {
                "decay": decay,
                "recency_weight": recency,
                "importance_weight": importance,
                "relevance_weight": relevance,
                "size_aware": size_aware,
            },
        )
        for decay, (recency, importance, relevance), size_aware in itertools.product(
            (0.995, 0.5),
            ((1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 3.0, 2.0)),
            (False, True),
        )
    ),
]


@dataclass
class Model:
    """What happened: ``(verb, page, turn)`` from the beginning, and questions answered from it."""

    configuration: Configuration
    happened: list[tuple[str, PageFacts, int]] = field(default_factory=list)

    def resident(self) -> list[PageFacts]:
        """In order of coming in."""
        pages: list[PageFacts] = []
        for verb, page, _ in self.happened:
            if verb == "insert":
                pages.append(page)
            elif verb == "remove":
                pages.remove(page)
        return pages

    def last_use(self, page: PageFacts) -> tuple[int, int]:
        """``(turn, place in the history)`` of the last time a page came in or was hit."""
        return max(
            (turn, place)
            for place, (verb, each, turn) in enumerate(self.happened)
            if each == page and verb in {"insert", "hit"}
        )

    def order(self, turn: int) -> list[str]:
        """All resident pages, first to leave first."""
        name, given = self.configuration
        pages = self.resident()
        keys: dict[str, Callable[[PageFacts], Any]] = {
            "fifo": lambda _: 0,
            "lru": lambda page: self.last_use(page)[1],
            "importance": lambda page: (
                self.score(page, pages, turn, given),
                self.last_use(page)[0],
            ),
        }
        return [page.id for page in sorted(pages, key=keys[name])]

    def score(self, page: PageFacts, pages: list[PageFacts], turn: int, given: dict[str, Any]) -> float:
        def recency(each: PageFacts) -> float:
            return float(given["decay"]) ** (turn - self.last_use(each)[0])

        def importance(each: PageFacts) -> float:
            return estimated_importance(each) if each.importance is None else each.importance

        def relevance(each: PageFacts) -> float:
            return self.cosine(each, pages)

        total = 0.0
        for weight, part in (
            (given["recency_weight"], recency),
            (given["importance_weight"], importance),
            (given["relevance_weight"], relevance),
        ):
            values = [part(each) for each in pages]
            if weight and max(values) > min(values):
                total += weight * (part(page) - min(values)) / (max(values) - min(values))
        return round(total / (max(1, page.tokens) if given["size_aware"] else 1), DIGITS)

    def cosine(self, page: PageFacts, pages: list[PageFacts]) -> float:
        used = [each for verb, each, _ in self.happened if verb in {"insert", "hit"}]
        spread = Counter(word for each in pages for word in words_of(each.text))

        def vector(each: PageFacts) -> list[float]:
            return [
                math.log(1 + len(pages) / count) if word in words_of(each.text) else 0.0
                for word, count in spread.items()
            ]

        mine, focus = vector(page), vector(used[-1])
        dot = math.fsum(a * b for a, b in zip(mine, focus, strict=True))
        lengths = math.sqrt(math.fsum(a * a for a in mine)) * math.sqrt(math.fsum(b * b for b in focus))
        return round(dot / lengths, DIGITS) if lengths else 0.0


@functools.cache
def words_of(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in words(text))


class EvictionMachine(RuleBasedStateMachine):
    configuration: Configuration = CONFIGURATIONS[0]

    def __init__(self) -> None:
        super().__init__()
        self.policy = self.fresh()
        self.twin = self.fresh()
        self.model = Model(self.configuration)
        self.turn = 0
        self.made = 0

    def fresh(self) -> EvictionPolicy:
        name, given = self.configuration
        return make_policy(name, **given)

    @initialize(start=st.integers(0, 1000))
    def begin(self, start: int) -> None:
        self.turn = start

    @rule(turns=st.integers(1, 300))
    def time_passes(self, turns: int) -> None:
        self.turn += turns

    @rule(
        tokens=st.integers(0, 400),
        kind=st.sampled_from(["message", "observation", "result", "notice"]),
        text=st.lists(st.sampled_from(["the", "boat", "Lisbon", "harbour", "42", "who?", "tea."]), max_size=6).map(
            " ".join
        ),
        importance=st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    )
    def insert(self, tokens: int, kind: str, text: str, importance: float | None) -> None:
        self.made += 1
        page = PageFacts(id=f"p{self.made}", kind=kind, tokens=tokens, text=text, importance=importance)
        for policy in (self.policy, self.twin):
            policy.on_insert(page, self.turn)
        self.model.happened.append(("insert", page, self.turn))

    @precondition(lambda self: self.model.resident())
    @rule(pick=st.integers(0, 10_000))
    def hit(self, pick: int) -> None:
        page = self.pick(pick)
        for policy in (self.policy, self.twin):
            policy.on_hit(page.id, self.turn)
        self.model.happened.append(("hit", page, self.turn))

    @precondition(lambda self: self.model.resident())
    @rule(pick=st.integers(0, 10_000))
    def page_out(self, pick: int) -> None:
        self.remove(self.pick(pick).id, evicted=False)

    @rule(tokens_needed=st.integers(-10, 1500), holding=st.sets(st.integers(0, 20)), as_list=st.booleans())
    def flush(self, tokens_needed: int, holding: set[int], as_list: bool) -> None:
        protected = {page.id for place, page in enumerate(self.model.resident()) if place in holding} | {"stranger"}
        answer = self.policy.victims(tokens_needed, list(protected) if as_list else protected, self.turn)
        self.check(list(answer), tokens_needed, protected)
        assert list(self.twin.victims(tokens_needed, protected, self.turn)) == list(answer)
        for page_id in answer:
            self.remove(page_id, evicted=True)

    @rule()
    def sleep_and_wake(self) -> None:
        asleep = json.dumps(self.policy.dump())
        self.policy = self.fresh()
        self.policy.load(json.loads(asleep))
        assert json.dumps(self.policy.dump()) == asleep

    @precondition(lambda self: self.model.resident())
    @rule(pick=st.integers(0, 10_000))
    def explain(self, pick: int) -> None:
        page = self.pick(pick)
        line = self.policy.explain(page.id, self.turn)
        assert line == self.twin.explain(page.id, self.turn)
        order = self.model.order(self.turn)
        assert line.endswith(f"number {order.index(page.id) + 1} of {len(order)} to leave")
        assert "\n" not in line

    @invariant()
    def the_order_is_the_models(self) -> None:
        assert list(self.policy.victims(10**9, (), self.turn)) == self.model.order(self.turn)

    def pick(self, number: int) -> PageFacts:
        pages = self.model.resident()
        return pages[number % len(pages)]

    def remove(self, page_id: str, *, evicted: bool) -> None:
        for policy in (self.policy, self.twin):
            policy.on_remove(page_id, evicted)
        page = next(page for page in self.model.resident() if page.id == page_id)
        self.model.happened.append(("remove", page, self.turn))

    def check(self, answer: list[str], tokens_needed: int, protected: set[str]) -> None:
        tokens = {page.id: page.tokens for page in self.model.resident()}
        freed = [tokens[page_id] for page_id in answer]  # KeyError: a page that is not resident
        assert len(set(answer)) == len(answer)
        assert not protected.intersection(answer)
        assert sum(freed) >= tokens_needed or set(answer) == set(tokens) - protected
        assert not answer or sum(freed[:-1]) < tokens_needed, "a page left that did not have to"
        order = [page_id for page_id in self.model.order(self.turn) if page_id not in protected]
        assert order[: len(answer)] == answer


def test_every_shipped_policy_is_held_against_its_definition() -> None:
    elsewhere = {path.stem for path in (Path(__file__).parents[1] / "policies" / "eviction").glob("test_*.py")}
    here = {name for name, _ in CONFIGURATIONS}
    modules = {name: made.__module__.rpartition(".")[2] for name, made in EVICTION.items()}
    assert [name for name, module in modules.items() if name not in here and f"test_{module}" not in elsewhere] == []


def drive(configuration: Configuration, share: float) -> None:
    machine = type("Machine", (EvictionMachine,), {"configuration": configuration})
    profile = settings()
    examples = max(10, int(profile.max_examples * share))
    run_state_machine_as_test(machine, settings=settings(profile, max_examples=examples))


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_keeps_its_contract_and_its_definition(configuration: Configuration) -> None:
    drive(configuration, share=0.125)


@pytest.mark.soak
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_keeps_them_for_long(configuration: Configuration) -> None:
    drive(configuration, share=1)

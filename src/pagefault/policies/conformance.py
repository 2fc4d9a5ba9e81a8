"""Does a policy keep the contract?  For authors of policies, to be called from their own tests.

A trace of insertions, uses, removals and flushes is made from a seed, and every promise of
:class:`~pagefault.policies.contract.EvictionPolicy` is checked on the way: twice, with a copy that goes
through a dump in mid-trace.  Some pages have no tokens, some more than all others together; some flushes are
abandoned half-way, so that pages which were named stay, are used, or are protected from the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence

from pagefault.policies.contract import EvictionPolicy, PageFacts, PolicyError

_KINDS = ("message", "observation", "reply", "result")
_DUMP_EVERY = 50
_ASK_EVERY = 200
"""Steps between two questions for the whole order, which may leave every page named and so hide the rule."""
_EXPLAINED = 8
_TOKENS_MAX = 300
_HUGE_TOKENS = 50_000
_WORDS = ("the", "boat", "Lisbon", "harbour", "in", "2021", "who?", "tea", "promised", "Marta")


def check_eviction_policy(make: Callable[[], EvictionPolicy], *, steps: int = 2000, seed: int = 1) -> None:
    """Drive two policies that ``make`` gives through one trace of ``steps`` steps.

    Raises :class:`~pagefault.policies.contract.PolicyError` for the first promise that is broken: ``field``
    says where, ``allowed`` what was promised.  The same seed gives the same trace.
    """
    made = make()
    if not isinstance(made, EvictionPolicy):
        raise PolicyError("policy", type(made).__qualname__, "an object with everything that EvictionPolicy has")
    pair = [made, make()]
    drive = _Drive(pair, _numbers(seed))
    for step in range(steps):
        drive.step()
        if step % _DUMP_EVERY == _DUMP_EVERY - 1:
            pair[1] = _through_json(pair[1], make())
        if step % _ASK_EVERY == _DUMP_EVERY - 1:
            drive.same_answers("load")


class _Drive:
    """A pair of policies, what is resident according to the trace, and the trace itself."""

    def __init__(self, pair: list[EvictionPolicy], numbers: Iterator[int]) -> None:
        self._pair = pair
        self._numbers = numbers
        self._resident: dict[str, int] = {}  # page id -> tokens
        self._made = 0
        self._turn = 0

    def step(self) -> None:
        self._turn += self._below(3)
        choice = self._below(10)
        if choice < 5 or not self._resident:
            self._insert()
        elif choice < 8:
            self._hit(self._any())
        elif choice < 9:
            self._remove(self._any(), evicted=False)
        else:
            self._flush()

    def same_answers(self, where: str) -> None:
        """All that is left to ask: the whole order of leaving, and an explanation."""
        everything = sum(self._resident.values()) + 1
        orders = [list(policy.victims(everything, (), self._turn)) for policy in self._pair]
        name = self._pair[0].name
        if orders[0] != orders[1]:
            raise PolicyError(f"{name}.{where}", orders[1], f"what a policy that heard the same answers: {orders[0]}")
        self._check(f"{name}.{where}", orders[0], everything, ())
        for page_id in orders[0][:_EXPLAINED]:
            lines = [policy.explain(page_id, self._turn) for policy in self._pair]
            if lines[0] != lines[1] or "\n" in lines[0] or not lines[0]:
                raise PolicyError(f"{name}.explain", lines, "the same line from both, and one line")

    def _insert(self) -> None:
        self._made += 1
        text = " ".join(_WORDS[self._below(len(_WORDS))] for _ in range(self._below(12)))
        page = PageFacts(
            id=f"p{self._made}",
            kind=_KINDS[self._below(len(_KINDS))],
            tokens=self._tokens(),
            ordinal=self._made,
            created_ms=1000 * self._made,
            author=("Marta", "Okoye", "")[self._below(3)],
            text=text,
            importance=(None, 0.0, 0.5, 1.0)[self._below(4)],
        )
        self._resident[page.id] = page.tokens
        self._for_both(lambda policy: policy.on_insert(page, self._turn))

    def _tokens(self) -> int:
        choice = self._below(40)
        return 0 if choice < 2 else _HUGE_TOKENS if choice == 2 else self._below(_TOKENS_MAX)

    def _hit(self, page_id: str) -> None:
        self._for_both(lambda policy: policy.on_hit(page_id, self._turn))

    def _remove(self, page_id: str, *, evicted: bool) -> None:
        del self._resident[page_id]
        self._for_both(lambda policy: policy.on_remove(page_id, evicted))

    def _flush(self) -> None:
        protected = {self._any() for _ in range(self._below(4))} | {"a page that is not resident"}
        needed = self._below(1500) if self._below(20) else 10**9
        first, again, other = (
            list(policy.victims(needed, protected, self._turn)) for policy in (self._pair[0], *self._pair)
        )
        name = f"{self._pair[0].name}.victims"
        if again != first:
            raise PolicyError(name, again, f"a peek that changes nothing: the answer was {first} just before")
        if other != first:
            raise PolicyError(name, other, f"what a policy that heard the same answers: {first}")
        self._check(name, first, needed, protected)
        stays = (
            self._below(len(first) + 1) if self._below(4) == 0 else len(first)
        )  # from here on the flush is abandoned
        for page_id in first[:stays]:
            self._remove(page_id, evicted=True)
        for page_id in first[stays:]:
            self._go_on_with(page_id)

    def _go_on_with(self, page_id: str) -> None:
        """A page was named as a victim and is resident still."""
        choice = self._below(4)
        if choice == 0:
            self._hit(page_id)
        elif choice == 1:
            self._remove(page_id, evicted=False)
        elif choice == 2:
            name = f"{self._pair[0].name}.victims"
            answers = [list(policy.victims(1, {page_id}, self._turn)) for policy in self._pair]
            if answers[0] != answers[1]:
                raise PolicyError(name, answers[1], f"what a policy that heard the same answers: {answers[0]}")
            self._check(name, answers[0], 1, {page_id})

    def _check(self, name: str, victims: Sequence[str], needed: int, protected: Collection[str]) -> None:
        strangers = [page_id for page_id in victims if page_id not in self._resident]
        if strangers or len(set(victims)) != len(victims):
            raise PolicyError(name, strangers or list(victims), "resident pages, each once")
        held = [page_id for page_id in victims if page_id in protected]
        if held:
            raise PolicyError(name, held, "no protected page")
        freed = sum(self._resident[page_id] for page_id in victims)
        kept = [page_id for page_id in self._resident if page_id not in protected and page_id not in victims]
        if freed < needed and kept:
            raise PolicyError(name, f"{freed} tokens", f"at least {needed} tokens, or every unprotected page")

    def _for_both(self, tell: Callable[[EvictionPolicy], None]) -> None:
        for policy in self._pair:
            tell(policy)

    def _any(self) -> str:
        return list(self._resident)[self._below(len(self._resident))] if self._resident else ""

    def _below(self, bound: int) -> int:
        return next(self._numbers) % bound


def _through_json(asleep: EvictionPolicy, fresh: EvictionPolicy) -> EvictionPolicy:
    try:
        state = json.dumps(asleep.dump(), allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise PolicyError(
            f"{asleep.name}.dump", str(problem), "lists, dicts with string keys, strings and numbers"
        ) from problem
    fresh.load(json.loads(state))
    return fresh


def _numbers(seed: int) -> Iterator[int]:
    """Pseudo-random numbers below 2**31: the upper bits of Knuth's MMIX generator (TAOCP 2, section 3.3.4)."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33

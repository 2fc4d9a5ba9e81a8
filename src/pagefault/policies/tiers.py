"""Tiers: where a page is between the context and the archive.

The context is a cache over the archive; this makes it one of a chain.  A page that leaves the context goes
to the first tier below, from there to the next, and always is in the archive, which has no bound.  A page
that is needed comes from the highest tier that has it.  Each tier has a capacity, an eviction policy of its
own, and a latency and a price for what it brings up.

An *exclusive* tier holds what the tiers above it do not: it takes pages as they are demoted and gives them
up as they rise.  An *inclusive* tier keeps copies: it takes a page when the page is made or passes by on its
way up, and keeps it until its own policy says otherwise (what it evicts may stay above: the pages never
change, so there is nothing to invalidate).

One :class:`TierStack` serves a live host and the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pagefault.policies import parameters as checks
from pagefault.policies.contract import EvictionPolicy, PageFacts, PolicyError, State
from pagefault.policies.registry import make_policy

TIERS_MAX = 8
TOKENS_MAX = 2**53
_FIELDS = ("name", "capacity_tokens", "policy", "parameters", "inclusive", "latency_ms", "price_per_mtok")


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier.  ``capacity_tokens`` ``None`` has no bound: the archive, always the last.

    ``latency_ms`` is what a request that ends here waits, ``price_per_mtok`` what a million tokens cost that
    it brings up, in any one currency.
    """

    name: str
    capacity_tokens: int | None = None
    policy: str = "lru"
    parameters: tuple[tuple[str, str | float | int | bool], ...] = ()
    inclusive: bool = False
    latency_ms: float = 0.0
    price_per_mtok: float = 0.0


ARCHIVE = Tier("archive", latency_ms=3.0)
"""What is below everything else.  The latency is about that of a load from the embedded archive."""


def tier_chain(tables: Iterable[Tier | Mapping[str, Any]]) -> tuple[Tier, ...]:
    """Tiers, or tables that describe them (of a TOML file, say), highest first; the archive is added if missing.

    Raises :class:`~pagefault.policies.contract.PolicyError` for the first thing that cannot be.
    """
    tiers = [table if isinstance(table, Tier) else _tier(f"tier[{index}]", table) for index, table in enumerate(tables)]
    if not tiers or tiers[-1].capacity_tokens is not None:
        tiers.append(ARCHIVE)
    check_tiers(tiers)
    return tuple(tiers)


def check_tiers(tiers: Sequence[Tier]) -> None:
    """Raise :class:`~pagefault.policies.contract.PolicyError` unless these make a chain."""
    if len(tiers) > TIERS_MAX:
        raise PolicyError("tiers", len(tiers), f"at most {TIERS_MAX}")
    names = [tier.name for tier in tiers]
    for index, tier in enumerate(tiers):
        field = f"tier[{index}]"
        if not tier.name or tier.name == "context" or names.count(tier.name) > 1:
            raise PolicyError(f"{field}.name", tier.name, "a name of its own, and not 'context'")
        last = index == len(tiers) - 1
        if last is not (tier.capacity_tokens is None):
            allowed = "no capacity: the last tier holds everything" if last else "a number of tokens from 1"
            raise PolicyError(f"{field}.capacity_tokens", tier.capacity_tokens, allowed)
        if tier.capacity_tokens is not None:
            checks.whole(f"{field}.capacity_tokens", tier.capacity_tokens, at_least=1, at_most=TOKENS_MAX)
            make_policy(tier.policy, **dict(tier.parameters))
        checks.flag(f"{field}.inclusive", tier.inclusive)
        checks.number(f"{field}.latency_ms", tier.latency_ms, at_least=0.0)
        checks.number(f"{field}.price_per_mtok", tier.price_per_mtok, at_least=0.0)


def _tier(field: str, table: Mapping[str, Any]) -> Tier:
    for key in table:
        if key not in _FIELDS:
            raise PolicyError(f"{field}.{key}", table[key], "one of " + ", ".join(_FIELDS))
    if not isinstance(table.get("name"), str):
        raise PolicyError(f"{field}.name", table.get("name"), "a text")
    given = dict(table)
    settings = given.pop("parameters", {})
    if not isinstance(settings, Mapping):
        raise PolicyError(f"{field}.parameters", settings, "a table of the policy's parameters")
    return Tier(**given, parameters=tuple(sorted(settings.items())))


@dataclass(slots=True)
class TierCounts:
    """What one tier did: requests that ended there, what it brought up, took in and gave away."""

    hits: int = 0
    tokens_up: int = 0
    inserted: int = 0
    evicted: int = 0


class _Level:
    """A bounded tier at work."""

    __slots__ = ("capacity_tokens", "facts", "inclusive", "policy", "tier", "tokens")

    def __init__(self, tier: Tier, policy: EvictionPolicy) -> None:
        assert tier.capacity_tokens is not None, f"{tier.name} has no bound"
        self.tier = tier
        self.capacity_tokens = tier.capacity_tokens
        self.inclusive = tier.inclusive
        self.policy = policy
        self.facts: dict[str, PageFacts] = {}
        self.tokens = 0

    def insert(self, page: PageFacts, turn: int) -> list[PageFacts]:
        """Take a page that is not here; returns what had to leave for it."""
        if page.tokens > self.capacity_tokens:
            return [page]
        self.facts[page.id] = page
        self.tokens += page.tokens
        self.policy.on_insert(page, turn)
        if self.tokens <= self.capacity_tokens:
            return []
        needed = self.tokens - self.capacity_tokens
        leaving = [self.facts[page_id] for page_id in self.policy.victims(needed, (page.id,), turn)]
        for victim in leaving:
            self.remove(victim.id, evicted=True)
        assert self.tokens <= self.capacity_tokens, f"{self.tier.policy} left tier {self.tier.name} over its capacity"
        return leaving

    def remove(self, page_id: str, *, evicted: bool) -> None:
        self.tokens -= self.facts.pop(page_id).tokens
        self.policy.on_remove(page_id, evicted)


class TierStack:
    """The bounded tiers of a chain at work.  Ids are whatever its owner uses; a host's name their agent too.

    Every operation is a turn of the tiers' policies.  ``counts`` has one row a tier, the archive's last.
    """

    def __init__(self, tiers: Sequence[Tier], make: Callable[..., EvictionPolicy] = make_policy) -> None:
        check_tiers(tiers)
        self.tiers = tuple(tiers)
        self._levels = [_Level(tier, make(tier.policy, **dict(tier.parameters))) for tier in tiers[:-1]]
        self.counts = [TierCounts() for _ in tiers]
        self._turn = 0
        self._gone: list[str] = []

    def __contains__(self, page_id: str) -> bool:
        return any(page_id in level.facts for level in self._levels)

    def __len__(self) -> int:
        """How many pages some bounded tier has."""
        return len({page_id for level in self._levels for page_id in level.facts})

    @property
    def tokens(self) -> list[int]:
        """Tokens in each bounded tier."""
        return [level.tokens for level in self._levels]

    def where(self, page_id: str) -> int:
        """Index of the highest tier that has the page; the archive's if none of the others has it."""
        for index, level in enumerate(self._levels):
            if page_id in level.facts:
                return index
        return len(self._levels)

    def take_gone(self) -> list[str]:
        """Pages that were pushed out of the last bounded tier since the last call, for who holds their contents."""
        gone, self._gone = self._gone, []
        return [page_id for page_id in gone if page_id not in self]

    def store(self, page: PageFacts) -> None:
        """A page was made: inclusive tiers take a copy."""
        self._turn += 1
        self._pass_by(page, len(self._levels))

    def demote(self, page: PageFacts) -> None:
        """A page left the context: the tiers below take it, and push others further down."""
        self._turn += 1
        self._push(page, 0)

    def fetch(self, page: PageFacts) -> int:
        """A page is needed above: it rises from the highest tier that has it, whose index is returned."""
        self._turn += 1
        found = self.where(page.id)
        counts = self.counts[found]
        counts.hits += 1
        counts.tokens_up += page.tokens
        if found < len(self._levels):
            level = self._levels[found]
            if level.inclusive:
                level.policy.on_hit(page.id, self._turn)
            else:
                level.remove(page.id, evicted=False)
        self._pass_by(page, found)
        return found

    def remove(self, page_id: str) -> None:
        """The page is no more, or must not be kept here."""
        for level in self._levels:
            if page_id in level.facts:
                level.remove(page_id, evicted=False)

    def explain(self, page_id: str) -> str:
        """Where a page is and why, in one line."""
        found = self.where(page_id)
        if found == len(self._levels):
            return f"only in {self.tiers[-1].name}"
        return f"in {self.tiers[found].name}: {self._levels[found].policy.explain(page_id, self._turn)}"

    def dump(self) -> State:
        """Which pages each tier has, and what its policy knows."""
        return {
            "turn": self._turn,
            "levels": [
                {"policy": level.policy.dump(), "pages": [page.id for page in level.facts.values()]}
                for level in self._levels
            ],
        }

    def _pass_by(self, page: PageFacts, below: int) -> None:
        for index in range(below - 1, -1, -1):
            level = self._levels[index]
            if level.inclusive and page.id not in level.facts:
                self._insert(index, page)

    def _push(self, page: PageFacts, index: int) -> None:
        if index == len(self._levels):
            self._gone.append(page.id)  # the archive has it already
            return
        if page.id not in self._levels[index].facts:
            self._insert(index, page)

    def _insert(self, index: int, page: PageFacts) -> None:
        counts = self.counts[index]
        counts.inserted += 1
        for victim in self._levels[index].insert(page, self._turn):
            counts.evicted += 1
            self._push(victim, index + 1)

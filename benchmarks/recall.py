"""Evidence recall over real, very long dialogues: do searches find the turns that hold the answer?

Reads the LoCoMo format (https://github.com/snap-research/LoCoMo, ``data/locomo10.json``).  Each conversation
is the memory of one agent: every turn is stored as a page, with its speaker, session and date, through the
gateway into the real archive; then every question of the categories 1 to 4 (multi-hop, temporal, open-domain,
single-hop; 5 has no answer) is searched for as it stands.  Recall at k is the mean over questions of the share
of evidence turns among the first k results.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.runtime.store.embed import make_embedder
from pagefault.runtime.store.gateway import AgentMemory
from pagefault.runtime.store.open import open_stores
from pagefault.runtime.values import AgentId, ArchiveQuery, Page, PageId, PageKind

DATA_NEEDED = (
    "the conversations of LoCoMo as a JSON file; get data/locomo10.json from github.com/snap-research/LoCoMo "
    "(CC BY-NC 4.0) and give its path"
)
MODES = {"dense": "dense", "bm25": "words", "hybrid": "hybrid"}
DEPTHS = (5, 10, 20)
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}
SESSION = re.compile(r"session_(\d+)")
TENANT = "benchmark"


@dataclass(frozen=True, slots=True)
class Question:
    """``evidence``: ids of pages that hold the answer."""

    text: str
    category: int
    evidence: frozenset[PageId]


@dataclass(frozen=True, slots=True)
class Conversation:
    """``skipped``: evidence that names no turn."""

    name: AgentId
    pages: tuple[Page, ...]
    questions: tuple[Question, ...]
    skipped: int


def conversation(raw: Mapping[str, Any]) -> Conversation:
    """One conversation of the file.  Raises ``LookupError``, ``TypeError`` or ``ValueError`` for another format."""
    pages = tuple(_pages(raw["conversation"]))
    known = {page.id for page in pages}
    questions = []
    skipped = 0
    for item in raw["qa"]:
        if item["category"] not in CATEGORIES:
            continue
        named = set(item.get("evidence", ()))
        evidence = frozenset(PageId(name) for name in named if name in known)
        skipped += len(named) - len(evidence)
        if evidence:
            questions.append(Question(item["question"], item["category"], evidence))
    return Conversation(AgentId(str(raw["sample_id"])), pages, tuple(questions), skipped)


def _pages(talk: Mapping[str, Any]) -> Iterator[Page]:
    ordinal = 0
    for number in sorted(int(match[1]) for key in talk if (match := SESSION.fullmatch(key))):
        date = datetime.strptime(talk[f"session_{number}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for turn in talk[f"session_{number}"]:
            text = turn["text"]
            if turn.get("blip_caption"):
                # The picture itself is not in the file; who reads the turn would see it.
                text = f"{text} [shares a photo: {turn['blip_caption']}]"
            yield Page(
                id=PageId(turn["dia_id"]),
                kind=PageKind.MESSAGE,
                text=text,
                tokens=len(text) // 4 + 4,
                created_ms=round(date.timestamp() * 1000),
                ordinal=ordinal,
                author=turn["speaker"],
                source="user",
                session=f"session {number}",
            )
            ordinal += 1


def load(path: Path) -> list[Conversation]:
    """All conversations of a file.  Raises ``SystemExit`` with what is wrong."""
    try:
        return [conversation(raw) for raw in json.loads(path.read_text(encoding="utf-8"))]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SystemExit(f"--data: {path} is not in the LoCoMo format ({error!r}), allowed: {DATA_NEEDED}") from error


@dataclass(slots=True)
class Tally:
    """Recall by depth and category, and how long searches took."""

    recalls: dict[int, dict[int, list[float]]]
    search_ms: list[float]

    def results(self) -> dict[str, float]:
        """Recall by depth over all questions."""
        return {
            str(depth): round(statistics.mean(value for values in by.values() for value in values), 4)
            for depth, by in self.recalls.items()
        }

    def by_category(self) -> dict[str, float]:
        """Recall at 10 by category."""
        return {
            str(category): round(statistics.mean(values), 4) for category, values in sorted(self.recalls[10].items())
        }

    def times(self) -> dict[str, float]:
        """Median and 99th percentile of searches, in milliseconds."""
        cuts = statistics.quantiles(self.search_ms, n=100, method="inclusive")
        return {"search_ms_p50": round(cuts[49], 3), "search_ms_p99": round(cuts[98], 3)}


def ask(memory: AgentMemory, questions: tuple[Question, ...], mode: str, tally: Tally) -> None:
    """Search for every question and note what was found."""
    for question in questions:
        query = ArchiveQuery(question.text, ("recall",), mode=mode, limit=max(DEPTHS))
        start = time.perf_counter()
        hits = memory.search(query).hits
        tally.search_ms.append((time.perf_counter() - start) * 1000)
        for depth in DEPTHS:
            found = question.evidence.intersection(hit.page.id for hit in hits[:depth])
            tally.recalls[depth][question.category].append(len(found) / len(question.evidence))


def measure(options: Options, folder: Path) -> dict[str, Any]:
    """Store everything, then search in every mode."""
    if options.data is None:
        raise SystemExit(f"--data: needed is {DATA_NEEDED}")
    conversations = load(options.data)
    stores = open_stores(folder, 0, make_embedder("wordllama"))
    try:
        start = time.process_time()
        for talk in conversations:
            memory = stores.gateway.memory(TENANT, talk.name)
            for page in talk.pages:
                memory.store([page])
        stores.gateway.flush()
        pages = sum(len(talk.pages) for talk in conversations)
        store_us = (time.process_time() - start) / max(1, pages) * 1e6
        tallies = {name: Tally({depth: defaultdict(list) for depth in DEPTHS}, []) for name in MODES}
        for talk in conversations:
            memory = stores.gateway.memory(TENANT, talk.name)
            for name, mode in MODES.items():
                ask(memory, talk.questions, mode, tallies[name])
    finally:
        stores.close()
    questions = sum(len(talk.questions) for talk in conversations)
    if not questions:
        raise SystemExit(f"--data: {options.data} holds no question of the categories 1 to 4 with evidence")
    return {
        **{name: tally.results() for name, tally in tallies.items()},
        "by_category_at_10": {name: tally.by_category() for name, tally in tallies.items()},
        "times": {name: tally.times() for name, tally in tallies.items()},
        "conversations": len(conversations),
        "turns": pages,
        "questions": questions,
        "evidence_skipped": sum(talk.skipped for talk in conversations),
        "store_us_per_page": round(store_us, 1),
    }


def main() -> None:
    """Measure and print the table."""
    options = read_options("recall", "Evidence recall over long dialogues.", data_needed=DATA_NEEDED)
    with tempfile.TemporaryDirectory(prefix="pagefault-recall-") as folder:
        results = measure(options, Path(folder))

    def line(figures: Callable[[str], float], digits: int = 3) -> str:
        return "   ".join(f"{figures(name):.{digits}f}" for name in MODES)

    def at(depth: int) -> tuple[str, str, str]:
        return f"recall at {depth}", line(lambda name: results[name][str(depth)]), " / ".join(MODES)

    def of(category: int) -> tuple[str, str, str]:
        figures = line(lambda name: results["by_category_at_10"][name][str(category)])
        return f"  {CATEGORIES[category]}", figures, f"at 10, category {category}"

    def taking(key: str) -> tuple[str, str, str]:
        return key, line(lambda name: results["times"][name][key], 2), "embedding included"

    asked = [category for category in CATEGORIES if str(category) in results["by_category_at_10"]["hybrid"]]
    rows = [*map(at, DEPTHS), *map(of, asked), taking("search_ms_p50"), taking("search_ms_p99")]
    rows.append(("stored", f"{results['turns']:,} turns", f"{results['store_us_per_page']:.0f} µs CPU each"))
    rows.append(("asked", f"{results['questions']:,}", f"evidence that names no turn: {results['evidence_skipped']}"))
    report("recall", options, results, rows, ("qdrant-edge-py", "wordllama", "numpy"))


if __name__ == "__main__":
    main()

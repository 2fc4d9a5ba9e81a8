"""How important pages are: scored when they are made, or rated by a model a little later.

A score is cached with its page and goes with it into the archive.  A page that waits for its rating is a page
like any other; if the answer never comes (the model is down, the host dies) it stays without one.
"""

from __future__ import annotations

from dataclasses import replace

from pagefault.policies.contract import ModelScorer
from pagefault.runtime.kernel.effects import RatePage, StorePages
from pagefault.runtime.kernel.events import PageRated
from pagefault.runtime.kernel.pages import Entry, cost, facts
from pagefault.runtime.kernel.state import AgentData
from pagefault.runtime.values import Message, ModelRequest, PageKind, Priority

RATED_KINDS = (PageKind.MESSAGE, PageKind.OBSERVATION)
ANSWER_TOKENS = 16
WAITING_MAX = 16
"""Ratings that one agent waits for at once; pages that come in meanwhile are not rated."""


def ask_for_rating(data: AgentData, shown: Entry) -> None:
    """Have a model rate a page that has just come in, if the agent's scorer is of that kind."""
    if not data.asks_model:
        return
    page, scorer = shown.page, data.scorer
    if page.importance is not None or page.kind not in RATED_KINDS or not isinstance(scorer, ModelScorer):
        return
    if len(data.rating) >= WAITING_MAX:
        data.notice("rating_skipped", (page.id,))
        return
    try:
        question = Message("user", scorer.question(facts(page)))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
        data.statistics.policy_failures += 1
        data.notice("policy_failed", (page.id,), text=f"scorer {scorer.name}: {error}")
        return
    tokens = data.context.corrected(cost(data.counter, question))
    if tokens + ANSWER_TOKENS > data.definition.context.budget_tokens:
        data.notice("rating_skipped", (page.id,))
        return
    request = ModelRequest(
        data.definition.id, (question,), (), tokens, ANSWER_TOKENS, "rate", priority=Priority.BACKGROUND
    )
    data.rating[page.id] = None
    data.emit(RatePage(data.cause, page.id, request))


def on_page_rated(data: AgentData, event: PageRated) -> None:
    """The model's answer: legal in every phase, and too late when the page has left."""
    if event.page_id not in data.rating:
        data.notice("late", text=event.page_id)
        return
    del data.rating[event.page_id]
    importance = None
    if not event.problem and isinstance(data.scorer, ModelScorer):
        try:
            importance = data.scorer.read(event.answer)
        except Exception as error:  # noqa: BLE001 - as above
            data.statistics.policy_failures += 1
            data.notice("policy_failed", (event.page_id,), text=f"scorer {data.scorer.name}: {error}")
    if importance is None:
        data.notice("rating_failed", (event.page_id,), text=event.problem or event.answer[:80])
        return
    shown = data.context.entries.get(event.page_id)
    if shown is None or not data.is_resident(event.page_id):
        return
    page = replace(shown.page, importance=min(1.0, max(0.0, importance)))
    data.context.queue.annotate(replace(shown, page=page))
    data.eviction.on_rated(page.id, importance)
    if shown.stored and not shown.is_cut:
        data.emit(StorePages(data.cause, (page,)))
    data.statistics.ratings += 1

"""Drives one kernel synchronously: performs its effects against naive stores, checks invariants at every event."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pagefault.policies.registry import make_consolidation, make_fetch, make_policy, make_scorer, make_write_back
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.definition import SystemSettings
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.kernel.invariants import check
from pagefault.runtime.kernel.settings import (
    AgentDefinition,
    ChainSettings,
    ContextSettings,
    MailboxSettings,
    PolicySettings,
)
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import (
    AgentId,
    CallId,
    FunctionCall,
    Hit,
    Interrupt,
    InterruptId,
    InterruptKind,
    ModelReply,
    ModelRequest,
    Page,
    PageId,
    Priority,
    SearchResult,
    Usage,
)

Mind = Callable[[ModelRequest], ModelReply]


class WordCounter:
    """Four characters are a token: exact, fast, and easy to reason about."""

    def count(self, text: str) -> int:
        return -(-len(text) // 4)

    def cut(self, text: str, tokens: int) -> tuple[str, str]:
        return text[: tokens * 4], text[tokens * 4 :]


@function(effect="once")
def launch(target: str) -> str:
    """Do something that must not be done twice.

    Args:
        target: At what.
    """
    return f"launched at {target}"


@function(effect="pure")
def weigh(thing: str) -> str:
    """Look something up.

    Args:
        thing: What.
    """
    return f"{thing} weighs 3"


REGISTRY = Registry()
REGISTRY.add(launch)
REGISTRY.add(weigh)


def definition(
    *,
    budget_tokens: int = 4000,
    reply_tokens: int = 200,
    eviction: str = "fifo",
    write_back: str = "handle",
    functions: tuple[str, ...] = (
        "send_message",
        "core_memory_append",
        "page_in",
        "page_out",
        "pin",
        "unpin",
        "launch",
        "weigh",
        "conversation_search",
        "call_agent",
        "send_to_agent",
        "set_timer",
        "pause_heartbeats",
    ),
    system: str = "You are a test.",
    blocks: tuple[Block, ...] = (Block("human", "nothing yet", 200), Block("law", "never lie", 50, read_only=True)),
    chain: ChainSettings = ChainSettings(steps_max=12, snapshot_steps=5),
    mailbox: MailboxSettings = MailboxSettings(
        interrupts_max=8, bytes_max=20_000, interrupt_bytes_max=12_000, remembered_ids=64
    ),
    **context: Any,
) -> AgentDefinition:
    return AgentDefinition(
        id=AgentId("a"),
        system=system,
        blocks=blocks,
        functions=functions,
        policies=PolicySettings(eviction=eviction, write_back=write_back),
        context=ContextSettings(budget_tokens=budget_tokens, reply_tokens=reply_tokens, **context),
        chain=chain,
        mailbox=mailbox,
    )


def new_agent(made: AgentDefinition) -> AgentState:
    return AgentState(
        made,
        WordCounter(),
        REGISTRY.table(made.functions, SystemSettings()),
        eviction=make_policy(made.policies.eviction),
        write_back=make_write_back(made.policies.write_back),
        fetch=make_fetch(made.policies.fetch),
        scorer=make_scorer(made.policies.scorer),
        consolidation=make_consolidation(made.policies.consolidation, **dict(made.policies.consolidation_parameters)),
    )


def call(name: str, heartbeat: bool | None = False, /, **arguments: Any) -> FunctionCall:
    """A call as a model writes it; ``heartbeat=None`` leaves the flag out."""
    if heartbeat is not None and name not in ("send_message", "pause_heartbeats", "yield_control"):
        arguments["request_heartbeat"] = heartbeat
    return FunctionCall(f"c{name}", name, json.dumps(arguments))


def reply(*calls: FunctionCall, text: str = "", prompt_tokens: int = 0) -> ModelReply:
    return ModelReply(
        text=text, calls=calls, usage=Usage(prompt_tokens=prompt_tokens), finish="calls" if calls else "stop"
    )


def message(number: int | str, text: str = "hello", priority: Priority = Priority.USER, **fields: Any) -> Interrupt:
    fields.setdefault("kind", InterruptKind.MESSAGE)
    fields.setdefault("sender", "user")
    return Interrupt(InterruptId(f"i{number}"), priority=priority, text=text, **fields)


class Desk:
    """A synchronous host: ``feed`` an event, look at the effects, answer what is outstanding."""

    def __init__(self, made: AgentDefinition | None = None, agent: AgentState | None = None) -> None:
        self.definition = made or definition()
        self.agent = agent or new_agent(self.definition)
        self.events: list[ev.Event] = []
        self.effects: list[fx.AnyEffect] = []
        self.last: list[fx.AnyEffect] = []
        self.archive: dict[PageId, Page] = {}
        self.now_ms = 1_000_000

    def feed(self, event: ev.Event) -> list[fx.AnyEffect]:
        self.events.append(event)
        self.last = self.agent.handle(event)
        check(self.agent)
        self.effects.extend(self.last)
        for effect in self.last:
            if isinstance(effect, fx.StorePages):
                self.archive.update({page.id: page for page in effect.pages})
            elif isinstance(effect, fx.ForgetPages):
                for page_id in effect.page_ids:
                    self.archive.pop(page_id, None)
            elif isinstance(effect, fx.CallModel | fx.Summarize):
                settings = self.definition.context
                counted = sum(len(part.text) // 4 for part in effect.request.messages)
                assert counted <= settings.prompt_limit, "over budget was sent"
                assert effect.request.prompt_tokens <= settings.prompt_limit, "over budget was sent"
        return self.last

    def send(self, interrupt: Interrupt) -> list[fx.AnyEffect]:
        return self.feed(ev.InterruptArrived(self.tick(), interrupt))

    def tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def phase(self) -> Phase:
        """A method: what a property says may not change, mypy believes."""
        return self.agent.phase

    @property
    def call_id(self) -> CallId:
        assert self.agent.outstanding is not None, "nothing is outstanding"
        return self.agent.outstanding.call_id

    def replies(self, *calls: FunctionCall, text: str = "", prompt_tokens: int = 0) -> list[fx.AnyEffect]:
        return self.feed(
            ev.ModelReplied(self.tick(), self.call_id, reply(*calls, text=text, prompt_tokens=prompt_tokens))
        )

    def returns(self, text: str = "done", status: str = "ok") -> list[fx.AnyEffect]:
        return self.feed(ev.FunctionReturned(self.tick(), self.call_id, status, text))

    def answer(self) -> list[fx.AnyEffect]:
        """End whatever is outstanding, sensibly; a model says nothing more."""
        outstanding = self.agent.outstanding
        assert outstanding is not None, "nothing is outstanding"
        kind, at_ms, call_id = outstanding.kind, self.tick(), outstanding.call_id
        if kind == "model":
            return self.feed(ev.ModelReplied(at_ms, call_id, reply()))
        if kind == "summary":
            return self.feed(ev.SummaryReady(at_ms, call_id, "Things were said."))
        if kind == "function":
            return self.feed(ev.FunctionReturned(at_ms, call_id, "ok", "done"))
        if kind == "search":
            assert outstanding.query is not None
            needle = outstanding.query.text.casefold()
            spaces, since_ms = outstanding.query.spaces, outstanding.query.after_ms or 0
            there = [page for page in self.archive.values() if page.space in spaces and page.created_ms >= since_ms]
            found = [page for page in there if needle in page.text.casefold()]
            shown = found[outstanding.query.offset :][: outstanding.query.limit]
            hits = tuple(Hit(page, 1.0) for page in shown)
            result = SearchResult(hits, len(found), outstanding.query.offset, outstanding.query.limit)
            return self.feed(ev.SearchReturned(at_ms, call_id, result))
        wanted = list(outstanding.page_ids)
        companions = [load for load in self.effects if isinstance(load, fx.LoadPages)][-1].companions
        pages = tuple(self.archive[page_id] for page_id in (*wanted, *companions) if page_id in self.archive)
        missing = tuple(page_id for page_id in wanted if page_id not in self.archive)
        return self.feed(ev.PagesLoaded(at_ms, call_id, pages, missing))

    def settle(self, limit: int = 200) -> None:
        for _ in range(limit):
            if self.agent.outstanding is None:
                return
            self.answer()
        raise AssertionError("the agent does not come to rest")

    def of(self, kind: type[Any], effects: list[fx.AnyEffect] | None = None) -> list[Any]:
        return [effect for effect in (self.effects if effects is None else effects) if isinstance(effect, kind)]

    def notices(self, name: str) -> list[fx.Notice]:
        return [effect for effect in self.of(fx.Notice) if effect.name == name]

    def ended(self) -> list[tuple[str, str]]:
        return [(effect.cause, effect.outcome) for effect in self.of(fx.ChainEnded)]

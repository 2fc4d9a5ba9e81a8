"""Performs the effects of kernels: model calls, functions, searches, and what goes to others.

Each call runs as a task whose end, of whatever kind, becomes an event; nothing else comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import copy_context
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from pagefault.runtime.errors import InternalError, ModelError, PagefaultError, StoreError
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.functions.definition import CallContext
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.listeners import WITHDRAWN, WORDS, Listeners
from pagefault.runtime.host.outgoing import Outgoing
from pagefault.runtime.host.page_cache import PageCache
from pagefault.runtime.host.pages_out import PageWriter
from pagefault.runtime.host.records import Receipt, Step
from pagefault.runtime.host.secrecy import shareable
from pagefault.runtime.host.services import FunctionRunner, Stores
from pagefault.runtime.host.telemetry.host_meter import HostMeter
from pagefault.runtime.host.telemetry.tracing.calls import Call
from pagefault.runtime.host.timers import Timers
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.intake import spoken
from pagefault.runtime.kernel.pages import archived
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.reasons import reason_of
from pagefault.runtime.models.words import HEARER, Hearer
from pagefault.runtime.values import CallId, Effect, InterruptKind, ModelReply, ModelRequest, Page, PageId

SEARCHED = "pagefault_archive_search_seconds"
LOADED = "pagefault_archive_load_seconds"

log = structlog.get_logger(__name__)

T = TypeVar("T")
Sent = TypeVar("Sent", fx.Send, fx.Publish)


class Performer:
    """Does for one host what its kernels ask."""

    def __init__(
        self,
        *,
        stores: Stores,
        workshop: Workshop,
        runners: Mapping[str, FunctionRunner],
        outgoing: Outgoing,
        clock: Clock,
        listeners: Listeners,
        pages: PageWriter,
        timers: Timers,
        cache: PageCache,
        feed: Callable[[Frame, ev.Event], None],
        snapshot: Callable[[Frame], None],
        fail: Callable[[Frame, Exception], None],
        meter: HostMeter | None = None,
    ) -> None:
        self._stores = stores
        self._workshop = workshop
        self._outgoing = outgoing
        self._runners = runners
        self._clock = clock
        self._listeners = listeners
        self._pages = pages
        self._timers = timers
        self.cache = cache
        self._feed = feed
        self._snapshot = snapshot
        self._fail = fail
        self._meter = meter
        self._spans = meter.spans if meter is not None else None
        self._table: dict[type[Any], Callable[[Frame, int, Any], None]] = {
            fx.CallModel: self._call_model,
            fx.Summarize: self._summarize,
            fx.CancelCall: self._cancel_call,
            fx.RunFunction: self._run_function,
            fx.SearchArchive: self._search,
            fx.LoadPages: self._load,
            fx.StorePages: self._store,
            fx.ForgetPages: self._forget,
            fx.DemotePages: self._demote,
            fx.RatePage: self._rate,
            fx.Accept: self._accept,
            fx.Reject: self._reject,
            fx.Send: self._send,
            fx.Subscribe: outgoing.subscribe,
            fx.FindSubscribers: outgoing.find_subscribers,
            fx.Publish: self._publish,
            fx.Quarantine: outgoing.quarantine,
            fx.Deliver: self._deliver,
            fx.SetTimer: lambda frame, _, effect: self._timers.add(frame.id, effect.at_ms),
            fx.ChainEnded: self._chain_ended,
            fx.Notice: self._notice,
            fx.TakeSnapshot: lambda frame, _seq, _effect: self._snapshot(frame),
        }

    def perform(self, frame: Frame, seq: int, effect: fx.AnyEffect) -> None:
        """Do, or begin to do, one effect; ``seq`` is the journal's number of the event that caused it."""
        self._table[type(effect)](frame, seq, effect)

    # --- calls that end in an event

    def _start(self, frame: Frame, call_id: CallId, effect: Call, work: Coroutine[Any, Any, ev.Event]) -> None:
        context = copy_context()  # the task's own: what is logged in it says whose it is
        context.run(bind_contextvars, agent=frame.id, epoch=frame.epoch, cause=effect.cause)
        task = asyncio.get_running_loop().create_task(work, context=context)
        frame.tasks[call_id] = task
        began_ns = self._spans.call_began(frame, effect.cause) if self._spans is not None else 0
        task.add_done_callback(lambda done: self._ended(frame, call_id, effect, began_ns, done))

    def _ended(self, frame: Frame, call_id: CallId, effect: Call, began_ns: int, task: asyncio.Task[ev.Event]) -> None:
        """A callback and not a wrapper: a task that is cancelled before it began runs none of its code."""
        frame.tasks.pop(call_id, None)
        event: ev.Event | None = None
        if task.cancelled():
            event = ev.Cancelled(self._clock.now_ms(), call_id)
        elif (error := task.exception()) is not None:
            self._fail(frame, InternalError(f"{frame.id}: {call_id} raised {type(error).__name__}: {error}"))
        else:
            event = task.result()
        if self._spans is not None:
            self._spans.call_ended(frame, call_id, effect, event, began_ns)
        if event is not None and not (task.cancelled() and isinstance(effect, fx.RatePage)):
            self._feed(frame, event)  # nothing waits for a rating: when it is broken off, the page stays as it is

    def _cancel_call(self, frame: Frame, _seq: int, effect: fx.CancelCall) -> None:
        task = frame.tasks.get(effect.call_id)
        if task is not None:
            task.cancel()
        elif not any(getattr(event, "call_id", "") == effect.call_id for event in frame.inbox):
            frame.given_up.add(effect.call_id)  # it never began, and must not when its record is durable
            self._feed(frame, ev.Cancelled(self._clock.now_ms(), effect.call_id))

    def _call_model(self, frame: Frame, _seq: int, effect: fx.CallModel) -> None:
        if effect.call_id in frame.given_up:
            frame.given_up.discard(effect.call_id)
            return
        processor = self._workshop.processor(frame.state.definition.model)
        at_once = getattr(processor, "reply_now", None)
        if at_once is not None:
            began_ns = self._spans.call_began(frame, effect.cause) if self._spans is not None else 0
            reply = self._reply_now(frame, processor, at_once, effect)
            if reply is not None:
                if self._spans is not None:
                    self._spans.call_ended(frame, effect.call_id, effect, reply, began_ns)
                self._feed(frame, reply)
                return
        self._start(frame, effect.call_id, effect, self._model(frame, processor, effect))

    def _reply_now(
        self, frame: Frame, processor: Processor, at_once: Callable[..., ModelReply | None], effect: fx.CallModel
    ) -> ev.Event | None:
        """A processor that need not wait (a scripted mind without latency) answers without a task."""
        try:
            reply = at_once(effect.request)
        except ModelError as error:
            if self._meter is not None:
                self._meter.model_ended("step", reason_of(error), error.attempts)
            with bound_contextvars(agent=frame.id, epoch=frame.epoch, cause=effect.cause):
                return self._model_failed(effect.call_id, processor, error)
        if reply is None:
            return None
        if self._meter is not None:
            self._meter.model_ended("step", "ok", reply.attempts)
        return ev.ModelReplied(self._clock.now_ms(), effect.call_id, reply)

    async def _reply(self, processor: Processor, request: ModelRequest, purpose: str) -> ModelReply:
        work = processor.reply(request)
        return await (work if self._meter is None else self._meter.model_call(purpose, work))

    async def _timed(self, name: str, work: Awaitable[T]) -> T:
        return await (work if self._meter is None else self._meter.timed(name, work))

    async def _model(self, frame: Frame, processor: Processor, effect: fx.CallModel) -> ev.Event:
        hearer = self._hearer(frame, effect)
        HEARER.set(hearer)  # in the context of this task alone
        try:
            reply = await self._reply(processor, effect.request, "step")
        except ModelError as error:
            if hearer is not None:
                hearer.withdraw()
            return self._model_failed(effect.call_id, processor, error)
        if hearer is not None:  # what looked like an answer may have been a call, written as text
            hearer.hear(reply.text, ((call.name, call.arguments) for call in reply.calls))
        return ev.ModelReplied(self._clock.now_ms(), effect.call_id, reply)

    def _hearer(self, frame: Frame, effect: fx.CallModel) -> Hearer | None:
        """Whoever watches the words of this agent's replies come."""
        if not self._listeners.hears_words(frame.id):
            return None

        def show(kind: str, text: str = "") -> None:
            self._listeners.show(Step(frame.id, effect.cause, kind, text, at_ms=self._clock.now_ms()))

        is_delivered = frame.state.definition.plain_text == "deliver"
        return Hearer(
            lambda text: show(WORDS, text), lambda: show(WITHDRAWN), shareable=shareable, takes_text=is_delivered
        )

    def _model_failed(self, call_id: CallId, processor: Processor, error: ModelError) -> ev.ModelFailed:
        reason = reason_of(error)
        log.warning("model_failed", processor=processor.name, reason=reason, problem=str(error))
        return ev.ModelFailed(self._clock.now_ms(), call_id, reason, str(error), error.attempts)

    def _summarize(self, frame: Frame, _seq: int, effect: fx.Summarize) -> None:
        definition = frame.state.definition
        processor = self._workshop.processor(definition.summarizer or definition.model)
        self._start(frame, effect.call_id, effect, self._summary(processor, effect))

    async def _summary(self, processor: Processor, effect: fx.Summarize) -> ev.Event:
        try:
            reply = await self._reply(processor, effect.request, "summary")
        except ModelError as error:
            log.warning("summary_failed", processor=processor.name, problem=str(error))
            return ev.SummaryFailed(self._clock.now_ms(), effect.call_id, str(error))
        return ev.SummaryReady(self._clock.now_ms(), effect.call_id, reply.text, reply.usage)

    def _rate(self, frame: Frame, _seq: int, effect: fx.RatePage) -> None:
        definition = frame.state.definition
        processor = self._workshop.processor(definition.summarizer or definition.model)
        self._start(frame, CallId(f"{frame.id}/rating/{effect.page_id}"), effect, self._rating(processor, effect))

    async def _rating(self, processor: Processor, effect: fx.RatePage) -> ev.Event:
        try:
            reply = await self._reply(processor, effect.request, "rating")
        except ModelError as error:
            return ev.PageRated(self._clock.now_ms(), effect.page_id, "", str(error))
        return ev.PageRated(self._clock.now_ms(), effect.page_id, reply.text)

    def _run_function(self, frame: Frame, _seq: int, effect: fx.RunFunction) -> None:
        if effect.call_id in frame.given_up:
            frame.given_up.discard(effect.call_id)
            return
        self._start(frame, effect.call_id, effect, self._function(frame, effect))

    async def _function(self, frame: Frame, effect: fx.RunFunction) -> ev.Event:
        context = CallContext(frame.id, effect.call_id, effect.cause)
        try:
            definition = frame.functions.definition(effect.name)
            runner = self._runners[effect.runs_in]
            failpoint("host.function.begun")
            run = runner.run_function(definition, effect.arguments, context)
            status, text = await self._timed("pagefault_function_seconds", run)
        except PagefaultError as error:
            status, text = "failed", str(error)
        except asyncio.CancelledError:
            if effect.effect is not Effect.ONCE or frame.broken is not None:
                raise
            status, text = "unknown", ""  # it may have happened: that must stay in memory
        failpoint("host.function.ended")
        if self._meter is not None:
            self._meter.meters.add("pagefault_function_calls_total", status)
        return ev.FunctionReturned(self._clock.now_ms(), effect.call_id, status, text)

    def _search(self, frame: Frame, _seq: int, effect: fx.SearchArchive) -> None:
        self._start(frame, effect.call_id, effect, self._searched(frame, effect))

    async def _searched(self, frame: Frame, effect: fx.SearchArchive) -> ev.Event:
        try:
            await frame.committed()  # an agent finds what it has just written
            await self._pages.hand_over()
            result = await self._timed(SEARCHED, self._stores.search(frame.owner, effect.query))
        except StoreError as error:
            return ev.SearchReturned(self._clock.now_ms(), effect.call_id, None, str(error))
        return ev.SearchReturned(self._clock.now_ms(), effect.call_id, result)

    def _store(self, frame: Frame, seq: int, effect: fx.StorePages) -> None:
        self._pages.add(frame.owner, effect.pages, seq)
        if self.cache.is_on:
            self.cache.store(frame.id, effect.pages)

    def _forget(self, frame: Frame, _seq: int, effect: fx.ForgetPages) -> None:
        self._pages.forget(frame.owner, effect.page_ids)
        self.cache.forget(frame.id, effect.page_ids)

    def _demote(self, frame: Frame, _seq: int, effect: fx.DemotePages) -> None:
        if self.cache.is_on:
            self.cache.demote(frame.id, [archived(page, spoken(page.calls)) for page in effect.pages])

    def _load(self, frame: Frame, _seq: int, effect: fx.LoadPages) -> None:
        self._start(frame, effect.call_id, effect, self._loaded(frame, effect))

    async def _loaded(self, frame: Frame, effect: fx.LoadPages) -> ev.Event:
        wanted = effect.page_ids + effect.companions
        found = self.cache.at_hand(frame.id, wanted)
        asked = [page_id for page_id in wanted if page_id not in found]
        if asked:
            try:
                await frame.committed()
                await self._pages.hand_over()
                loaded = await self._timed(LOADED, self._stores.load(frame.owner, asked))
                found |= {page.id: page for page in loaded}
            except StoreError as error:
                return ev.PagesLoaded(self._clock.now_ms(), effect.call_id, (), problem=str(error))
        pages = tuple(found[page_id] for page_id in wanted if page_id in found)
        pages += await self._related(frame, effect, {page.id for page in pages})
        if self.cache.is_on and frame.broken is None:
            self.cache.fetch(frame.id, pages)
        missing = tuple(page_id for page_id in effect.page_ids if page_id not in found)
        return ev.PagesLoaded(self._clock.now_ms(), effect.call_id, pages, missing)

    async def _related(self, frame: Frame, effect: fx.LoadPages, known: set[PageId]) -> tuple[Page, ...]:
        """What else a fetch policy wants searched for; nothing if that cannot be done: nobody waits for it."""
        if effect.related is None:
            return ()
        try:
            await frame.committed()
            await self._pages.hand_over()
            result = await self._timed(SEARCHED, self._stores.search(frame.owner, effect.related))
        except StoreError as error:
            log.warning("related_pages_not_found", agent=frame.id, epoch=frame.epoch, problem=str(error))
            return ()
        return tuple(hit.page for hit in result.hits if hit.page.id not in known)

    # --- what goes to others

    def _send(self, frame: Frame, seq: int, effect: fx.Send) -> None:
        self._outgoing.send(frame, seq, self._forwarded(frame, effect))

    def _publish(self, frame: Frame, seq: int, effect: fx.Publish) -> None:
        self._outgoing.publish(frame, seq, self._forwarded(frame, effect))

    def _forwarded(self, frame: Frame, effect: Sent) -> Sent:
        """What goes out, with the trace that it belongs to; a reply goes back into the chain that waits for it."""
        interrupt = effect.interrupt
        if self._spans is None or interrupt.kind not in (InterruptKind.MESSAGE, InterruptKind.CALL):
            return effect
        return replace(effect, interrupt=self._spans.forwarded(frame, effect.cause, interrupt))

    def _accept(self, frame: Frame, _seq: int, effect: fx.Accept) -> None:
        receipt = Receipt(
            True, effect.duplicate, page_id=effect.page_id, under_way=effect.under_way or not effect.duplicate
        )
        if self._meter is not None:
            self._meter.answered(frame.id, effect)
        self._listeners.give_receipt(frame.id, effect.cause, receipt)

    def _reject(self, frame: Frame, _seq: int, effect: fx.Reject) -> None:
        receipt = Receipt(False, reason=effect.reason, retry_after_ms=effect.retry_after_ms)
        if self._meter is not None:
            self._meter.answered(frame.id, effect)
        self._listeners.give_receipt(frame.id, effect.cause, receipt)

    def _deliver(self, frame: Frame, _seq: int, effect: fx.Deliver) -> None:
        self._listeners.say(frame.id, effect.cause, effect.text)
        self._show(frame, effect.cause, "message", effect.text)

    def _chain_ended(self, frame: Frame, _seq: int, effect: fx.ChainEnded) -> None:
        self._listeners.end(frame.id, effect)
        frame.is_careful = False
        if self._meter is not None:
            self._meter.ended(frame, effect)
        if effect.outcome not in ("yielded", "coalesced", "cancelled", "killed"):
            log.info(
                "chain_ended",
                agent=frame.id,
                epoch=frame.epoch,
                cause=effect.cause,
                outcome=effect.outcome,
                message=effect.message,
            )
        self._show(frame, effect.cause, "ended", effect.outcome, value=effect.steps)

    def _notice(self, frame: Frame, _seq: int, effect: fx.Notice) -> None:
        if self._meter is not None:
            self._meter.noticed(frame, effect)
        if effect.name == "policy_failed":
            log.error("policy_failed", agent=frame.id, epoch=frame.epoch, cause=effect.cause, problem=effect.text)
        if self._listeners.is_watched(frame.id):
            step = Step(
                frame.id, effect.cause, effect.name, effect.text, effect.page_ids, effect.value, self._clock.now_ms()
            )
            self._listeners.show(step)

    def _show(self, frame: Frame, cause: str, kind: str, text: str, value: int = 0) -> None:
        if self._listeners.is_watched(frame.id):
            self._listeners.show(Step(frame.id, cause, kind, text, (), value, self._clock.now_ms()))

"""What agents of a host send to others: messages, and what is published to groups; and what could not be delivered."""

from __future__ import annotations

import asyncio
import shlex
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from pagefault.runtime.errors import PagefaultError, StoreError
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.frame import Frame, Unsettled
from pagefault.runtime.host.listeners import Listeners
from pagefault.runtime.host.records import Step, decode_event
from pagefault.runtime.host.routing import fan_out
from pagefault.runtime.host.services import Router, Stores
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.effects import FindSubscribers, Publish, Quarantine, Send, Subscribe
from pagefault.runtime.store.mail import TOPICS_MAX, letter_id
from pagefault.runtime.values import AgentId, CallId, DeadLetter, InterruptId

ARRIVED_MAX = 100_000
"""Messages of sleepers remembered as arrived; those that are forgotten are sent twice."""
RECORDS_A_READ = 512
BURY_AGAIN_MS = 500

log = structlog.get_logger(__name__)


class Outgoing:
    """Sends for one host.  Sending goes on while its agent sleeps; ``feed`` gives an agent an event."""

    def __init__(
        self,
        *,
        stores: Stores,
        router: Router,
        clock: Clock,
        listeners: Listeners,
        feed: Callable[[Frame, ev.Event], None],
    ) -> None:
        self._stores = stores
        self._router = router
        self._clock = clock
        self._listeners = listeners
        self._feed = feed
        self._sends: dict[tuple[AgentId, InterruptId], asyncio.Task[Any]] = {}
        self._arrived: OrderedDict[tuple[AgentId, InterruptId], None] = OrderedDict()  # while their sender slept
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing that was published is under way (the router knows of single messages)."""
        return not self._tasks

    # --- messages

    def send(self, frame: Frame, _seq: int, effect: Send) -> None:
        """Bring a message to its receiver."""
        interrupt = effect.interrupt
        self._settle(frame, effect, interrupt.id, lambda: self._router.route(frame.id, effect.to, interrupt))

    def _settle(
        self,
        frame: Frame,
        effect: Unsettled,
        message: InterruptId,
        begin: Callable[[], asyncio.Task[Any]],
    ) -> None:
        """Have a message under way until it is settled.

        When an agent that slept is back, it asks again for what had not arrived when it was saved: that has
        arrived meanwhile, or is on its way, or is sent again and recognised by who gets it.
        """
        key = (frame.id, message)
        if key in self._arrived:
            del self._arrived[key]
            return
        frame.unsent[message] = effect

        def ended(task: asyncio.Task[Any]) -> None:
            self._sends.pop(key, None)
            if task.cancelled():
                return
            if (error := task.exception()) is not None:
                log.error("send_failed", agent=frame.id, epoch=frame.epoch, message=message, problem=str(error))
                return
            frame.unsent.pop(message, None)
            if frame.is_away:
                self._arrived[key] = None
                if len(self._arrived) > ARRIVED_MAX:
                    self._arrived.popitem(last=False)

        task = self._sends.get(key)
        if task is None:
            task = self._sends[key] = begin()
        task.add_done_callback(ended)

    # --- groups

    def subscribe(self, frame: Frame, _seq: int, effect: Subscribe) -> None:
        """Write a subscription, or take it out, and tell the agent."""
        _ = self._spawn(self._subscribed(frame, effect))

    async def _subscribed(self, frame: Frame, effect: Subscribe) -> None:
        topic, ok = effect.topic, True
        try:
            if not effect.subscribed:
                ended = await self._stores.unsubscribe(frame.id, topic)
                text = f"You hear no more of {topic}." if ended else f"You were not subscribed to {topic}."
            elif await self._stores.subscribe(frame.id, topic):
                text = f"Subscribed to {topic}."
            else:
                ok, text = False, f"You have {TOPICS_MAX} topics, which is the limit; unsubscribe from one first."
                self._show(frame.id, effect.cause, "topic_limit", topic, TOPICS_MAX)
        except PagefaultError as error:
            ok, text = False, str(error)
        self._answer(frame, effect.call_id, ok, text)

    def find_subscribers(self, frame: Frame, _seq: int, effect: FindSubscribers) -> None:
        """Tell the agent who hears a topic."""
        _ = self._spawn(self._found(frame, effect))

    async def _found(self, frame: Frame, effect: FindSubscribers) -> None:
        agents: list[AgentId] = []
        problem = ""
        try:
            agents = await self._stores.subscribers(effect.topic)
        except StoreError as error:
            problem = str(error)
        self._feed(frame, ev.SubscribersFound(self._clock.now_ms(), effect.call_id, tuple(agents), problem))

    def publish(self, frame: Frame, _seq: int, effect: Publish) -> None:
        """Bring one message to many agents."""
        interrupt = effect.interrupt
        work = partial(fan_out, lambda to: self._router.route(frame.id, to, interrupt), effect.agents)
        self._settle(frame, effect, interrupt.id, lambda: self._spawn(work()))

    def _answer(self, frame: Frame, call_id: CallId, ok: bool, text: str) -> None:
        self._feed(frame, ev.FunctionReturned(self._clock.now_ms(), call_id, "ok" if ok else "failed", text))

    # --- what could not be delivered, or survived

    def quarantine(self, frame: Frame, seq: int, effect: Quarantine) -> None:
        """Keep an interrupt that took its host down as a dead letter, with where to look."""
        self._settle(frame, effect, effect.interrupt.id, lambda: self._spawn(self._quarantined(frame, seq, effect)))

    async def _quarantined(self, frame: Frame, seq: int, effect: Quarantine) -> None:
        while True:
            try:
                first = await self._arrival(frame.id, effect.cause)
                look = f"pagefault replay {shlex.quote(frame.id)} --record {seq - 1}"
                why = f"quarantined: {effect.why}; records {first} to {seq} of its journal have it all; see {look}"
                letter = DeadLetter(
                    letter_id(frame.id, effect.interrupt), frame.id, effect.interrupt, why, self._clock.now_ms()
                )
                await self.bury(frame.id, [letter])
            except StoreError as error:
                log.warning("quarantine_not_kept_yet", agent=frame.id, epoch=frame.epoch, problem=str(error))
                await self._clock.sleep_until(self._clock.now_ms() + BURY_AGAIN_MS)
            else:
                log.error("quarantined", agent=frame.id, epoch=frame.epoch, interrupt=effect.cause, why=why)
                return

    async def _arrival(self, agent: AgentId, interrupt: InterruptId) -> int:
        """The number of the record by which an interrupt came; 0 if it did not come by one (a timer of its own)."""
        after_seq = 0
        while rows := await self._stores.some_records(agent, after_seq, RECORDS_A_READ):
            for after_seq, data in rows:
                event = decode_event(agent, data)
                if isinstance(event, ev.InterruptArrived) and event.interrupt.id == interrupt:
                    return after_seq
        return 0

    async def bury(self, sender: str, letters: Sequence[DeadLetter]) -> None:
        """See :class:`~pagefault.runtime.host.routing.Bury`."""
        gone = await self._stores.add_letters(letters)
        agent = AgentId(sender)
        for letter in letters:
            self._show(agent, letter.interrupt.id, "dead_letter", f"{letter.to}: {letter.why}")
        if gone:
            log.warning("dead_letters_dropped", letters=gone)
            self._show(agent, InterruptId(""), "dead_letters_dropped", value=gone)

    def _show(self, agent: AgentId, cause: InterruptId, kind: str, text: str = "", value: int = 0) -> None:
        if self._listeners.is_watched(agent):
            self._listeners.show(Step(agent, cause, kind, text, (), value, self._clock.now_ms()))

    # --- tasks

    def _spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name="pagefault-outgoing")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Begin nothing more; what was committed is sent again when its sender is next activated."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

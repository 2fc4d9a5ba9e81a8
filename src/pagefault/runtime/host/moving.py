"""Agents that leave a host for another one.

An agent moves between two steps: it is told nothing new, what it has begun ends, and where it would call its model
again it does not, because its next activation asks for that call by itself.  Then all that entered it is in the
journal, a snapshot is saved, and whoever speaks to it here is sent on.  Nobody waits for ever: an agent that
is still busy after a while is broken off, as if its host had died, and recovered where it goes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from pagefault.runtime.errors import PagefaultError, StaleEpoch
from pagefault.runtime.host.commit import Committer
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.listeners import Listeners
from pagefault.runtime.host.waking import Waking
from pagefault.runtime.kernel.effects import AnyEffect, CallModel, Summarize
from pagefault.runtime.values import AgentId

MOVED_MAX = 200_000
"""Agents remembered as moved; for those that are forgotten, epochs do the same at a price."""
COMMIT_S = 5.0
"""Time for the journal to take what has entered an agent that is broken off."""

log = structlog.get_logger(__name__)


class MovedError(StaleEpoch):
    """The agent lives elsewhere now: in the host ``to``, or (if that is empty) wherever the scheduler says."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


class Moving:
    """Who of one host's agents is leaving, and who has left for where."""

    def __init__(
        self,
        *,
        frames: Mapping[AgentId, Frame],
        activating: Mapping[AgentId, Awaitable[Frame]],
        committer: Committer,
        listeners: Listeners,
        waking: Waking,
        give_up: Callable[[Frame], None],
    ) -> None:
        self._frames = frames
        self._activating = activating
        self._committer = committer
        self._listeners = listeners
        self._waking = waking
        self._give_up = give_up
        self._moved: OrderedDict[AgentId, str] = OrderedDict()
        self._leaving: dict[AgentId, asyncio.Future[None]] = {}
        self._settled: dict[AgentId, asyncio.Event] = {}

    @property
    def is_on(self) -> bool:
        """Whether anybody is leaving or has left."""
        return bool(self._leaving or self._moved)

    @property
    def is_busy(self) -> bool:
        """Whether anybody is leaving."""
        return bool(self._leaving)

    async def check(self, agent: AgentId) -> None:
        """Return if the agent may be spoken to here; one that is leaving is waited for.  Raises :class:`MovedError`."""
        while (leaving := self._leaving.get(agent)) is not None:
            await asyncio.shield(leaving)
        self.check_now(agent)

    def check_now(self, agent: AgentId) -> None:
        """Raises :class:`MovedError` for one that has left."""
        to = self._moved.get(agent)
        if to is not None:
            raise MovedError(to)

    def arrived(self, agents: Sequence[AgentId]) -> None:
        """These live here (again)."""
        for agent in agents:
            self._moved.pop(agent, None)

    def holds_back(self, frame: Frame, effect: AnyEffect) -> bool:
        """Whether this is a call that a leaving agent does not begin any more."""
        return frame.id in self._leaving and isinstance(effect, CallModel | Summarize)

    def rested(self, frame: Frame) -> None:
        """Something of this agent is settled."""
        event = self._settled.get(frame.id)
        if event is not None and _is_settled(frame):
            event.set()

    async def hand_over(self, agents: Sequence[AgentId], to: str, grace_s: float) -> list[tuple[AgentId, int]]:
        """Let agents go to another host; returns when none of them can have any effect here.

        ``grace_s`` is how long a busy agent may take for what it has begun.  Returns those that must be awake though
        nobody speaks to them, with when that is.
        """
        going = [agent for agent in agents if agent not in self._leaving]
        loop = asyncio.get_running_loop()
        for agent in going:
            self._leaving[agent] = loop.create_future()
        wakes: list[tuple[AgentId, int]] = []
        try:
            activating = [task for agent in going if (task := self._activating.get(agent)) is not None]
            await asyncio.gather(*activating, return_exceptions=True)  # who cannot be activated has no frame to save
            frames = [frame for agent in going if (frame := self._frames.get(agent)) is not None]
            await asyncio.gather(*(self._settle(frame, grace_s) for frame in frames))
            for agent in going:
                wake_ms = self._leave(agent, to)
                if wake_ms is not None:
                    wakes.append((agent, wake_ms))
        finally:
            for agent in going:
                self._leaving.pop(agent).set_result(None)
        return wakes

    async def _settle(self, frame: Frame, grace_s: float) -> None:
        """Return when the agent may go: at rest or between two steps, all of it committed."""
        event = self._settled[frame.id] = asyncio.Event()
        try:
            async with asyncio.timeout(grace_s):
                saved = False
                while not (saved and _is_settled(frame)):
                    if not _is_settled(frame):
                        event.clear()
                        await event.wait()
                    if frame.broken is None and frame.next_seq > 1:
                        await self._committer.save([frame])
                    saved = True
        except TimeoutError:
            log.warning("broken_off", agent=frame.id, epoch=frame.epoch, calls=len(frame.tasks))
            try:
                async with asyncio.timeout(COMMIT_S):
                    await frame.committed()
            except TimeoutError:
                log.warning("moved_uncommitted", agent=frame.id, epoch=frame.epoch)  # nothing of that was acknowledged
        finally:
            del self._settled[frame.id]

    def _leave(self, agent: AgentId, to: str) -> int | None:
        """The agent is not here any more.  Returns when it must be awake."""
        frame = self._frames.get(agent)
        wake_ms = self._waking.leave(agent)
        self._moved[agent] = to
        self._moved.move_to_end(agent)
        if len(self._moved) > MOVED_MAX:
            self._moved.popitem(last=False)
        error: PagefaultError = MovedError(to)
        if frame is not None:
            if frame.broken is None:
                wake_ms = frame.wake_ms()
            if not _is_settled(frame):
                frame.break_off(error)
            frame.is_away = True
            self._give_up(frame)
        self._listeners.fail(agent, error)
        self._listeners.close_streams(agent)
        return wake_ms


def _is_settled(frame: Frame) -> bool:
    return frame.broken is not None or frame.is_at_rest

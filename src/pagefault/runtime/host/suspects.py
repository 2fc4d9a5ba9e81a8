"""Suspects: agents whose work the host died in, more than once.  They are woken apart from the others.

When a process dies, everything that it had under way is under suspicion, and one piece of it may be to blame.  All
are counted (:mod:`pagefault.runtime.kernel.quarantine`); those that end prove their innocence.  To keep the guilty
from taking the others with it each time, and the count from running up for whoever only was there,

- work that died once goes on with everything else;
- work that died again waits until the others rest, and then goes on together with other such work;
- work that dies for the last time before its quarantine does so alone: it waits for its turn, and nobody is counted
  who waits.

So ``n`` poisonous interrupts that are under way together cost a host about ``attempts_max - 1 + n`` deaths, and not
``attempts_max * n``; and each of them is convicted by a death that it died alone.

While an agent waits here it is resident and takes interrupts; only what it had under way is not asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import AgentId, InterruptId

SUSPECT_DEATHS = 2
PAUSE_MS = 250
"""Before each trial: others wake first, and a host that dies at once is not started as fast as it can die."""
QUIET_MS_MAX = 5_000
"""A host that is never quiet does not keep suspects waiting for longer."""
TRIAL_MS_MAX = 120_000
"""Whoever has not died by then lets the next begin."""
LOOK_MS = 20

log = structlog.get_logger(__name__)


def deaths_of(state: AgentState) -> int:
    """How often the host died in what this agent has under way: the last time, which is not counted yet, with it."""
    if state.chain is None or state.outstanding is None or state.phase is Phase.CANCELLING:
        return 0
    return state.chain.crashes + 1


class Suspects:
    """Decides when agents of one host that died may go on.

    ``go_on`` has an agent ask again for what was outstanding; ``are_others_waking`` says whether agents that are not
    resident yet are about to be.
    """

    def __init__(
        self,
        clock: Clock,
        frames: Mapping[AgentId, Frame],
        go_on: Callable[[Frame], None],
        are_others_waking: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._frames = frames
        self._go_on = go_on
        self._are_others_waking = are_others_waking
        self._held: dict[Frame, None] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an agent waits here, or is on trial."""
        return self._task is not None and not self._task.done()

    def recover(self, frame: Frame) -> None:
        """The last activation of this agent died: let it go on, now or in its turn."""
        deaths = deaths_of(frame.state)
        if not SUSPECT_DEATHS <= deaths < _attempts_max(frame):  # not suspect yet, or its last chance is gone
            self._go_on(frame)
            return
        log.warning("suspect", agent=frame.id, epoch=frame.epoch, deaths=deaths)
        self._held[frame] = None
        if not self.is_busy:
            self._task = asyncio.get_running_loop().create_task(self._try_all(), name="pagefault-suspects")

    async def close(self) -> None:
        """Let nobody go on any more; the next activation asks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _try_all(self) -> None:
        while self._held:
            await self._clock.sleep_until(self._clock.now_ms() + PAUSE_MS)
            await self._until(self._is_quiet, QUIET_MS_MAX)
            tried = self._next()
            for frame in tried:
                self._go_on(frame)
            causes = {frame: frame.state.cause for frame in tried}
            await self._until(partial(_are_cleared, causes), TRIAL_MS_MAX)

    def _next(self) -> list[Frame]:
        """Who goes on now: all that have more than one chance left, or the first of the others."""
        alive = [frame for frame in self._held if frame.broken is None and self._frames.get(frame.id) is frame]
        early = [frame for frame in alive if deaths_of(frame.state) < _attempts_max(frame) - 1]
        chosen = early or alive[:1]
        self._held = dict.fromkeys(frame for frame in alive if frame not in chosen)
        return chosen

    def _is_quiet(self) -> bool:
        others = (frame for frame in self._frames.values() if frame not in self._held)
        return not self._are_others_waking() and all(frame.is_at_rest for frame in others)

    async def _until(self, is_so: Callable[[], bool], limit_ms: int) -> None:
        deadline_ms = self._clock.now_ms() + limit_ms
        while not is_so() and self._clock.now_ms() < deadline_ms:
            await self._clock.sleep_until(self._clock.now_ms() + LOOK_MS)


def _attempts_max(frame: Frame) -> int:
    return frame.state.definition.chain.attempts_max


def _are_cleared(causes: Mapping[Frame, InterruptId]) -> bool:
    """Whether what these agents were doing has ended, or is no longer suspect."""
    return all(_is_cleared(frame, cause) for frame, cause in causes.items())


def _is_cleared(frame: Frame, cause: InterruptId) -> bool:
    chain = frame.state.chain
    return frame.broken is not None or chain is None or chain.cause != cause or chain.crashes == 0

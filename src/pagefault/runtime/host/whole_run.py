"""A whole run again: every agent's past, and whether what they sent each other arrived.

The journals of a fleet are a recording of all that came from outside: what users, worlds and clocks said, what models
answered, what functions returned, in the order in which it reached each agent.  Since agents are functions of that, the
run can be lived again without a model, in any order of agents, and everything that they did then is done once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pagefault.runtime.errors import ReplayDivergence, StoreCorrupt
from pagefault.runtime.host.history import open_history
from pagefault.runtime.host.services import PastStores
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.effects import AnyEffect, Publish, Send
from pagefault.runtime.kernel.events import Event, InterruptArrived
from pagefault.runtime.values import AgentId, DeadLetter, InterruptId

EXAMPLES_MAX = 20


@dataclass(slots=True)
class RunReplay:
    """What came of living a run again.

    ``messages`` between agents were sent, of which ``undelivered`` have not arrived and are no dead letters either (in
    a fleet that is at rest there are none).  ``diverged`` are agents whose past is not what was recorded, with why.
    """

    agents: int = 0
    events: int = 0
    snapshots: int = 0
    messages: int = 0
    undelivered: list[tuple[AgentId, InterruptId]] = field(default_factory=list)
    diverged: dict[AgentId, str] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        return not self.undelivered and not self.diverged


async def replay_run(
    workshop: Workshop,
    stores: PastStores,
    agents: Sequence[AgentId],
    letters: Sequence[DeadLetter],
    advance: Callable[[], None],
) -> RunReplay:
    """Live the past of all agents again; ``advance`` is called after each.

    Raises what :func:`~pagefault.runtime.host.history.open_history` raises; a past that diverges or is damaged is
    noted, and the others are looked at all the same.
    """
    result = RunReplay()
    known = set(agents)
    sent: set[tuple[AgentId, InterruptId]] = set()
    arrived = {(letter.to, letter.interrupt.id) for letter in letters}

    for agent in agents:

        def observe(event: Event, effects: Sequence[AnyEffect], agent: AgentId = agent) -> None:
            result.events += 1
            if isinstance(event, InterruptArrived):
                arrived.add((agent, event.interrupt.id))
            for effect in effects:
                if isinstance(effect, Send):
                    sent.add((effect.to, effect.interrupt.id))
                elif isinstance(effect, Publish):
                    sent.update((to, effect.interrupt.id) for to in effect.agents)

        try:
            result.snapshots += await (await open_history(workshop, stores, agent)).verify(observe)
        except (ReplayDivergence, StoreCorrupt) as error:
            result.diverged[agent] = str(error).partition("; story:")[0]
        result.agents += 1
        advance()
    result.messages = len(sent)
    result.undelivered = sorted((to, key) for to, key in sent - arrived if to in known)
    return result

"""An action space as a function that models may call, and the way of a call to the environment that it is meant for.

The function has the parameters of the space, so its schema is made as for any other.  Where the environment runs is
not its business: a call goes to the *arena* of its address, in this process if it is here, else to the Ray actor of
that name.  It is ``idempotent``, since an arena knows the id of each player's last call: tried again after a crash, it
is answered as it was and not done twice.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from pagefault.cluster import _ray
from pagefault.cluster.wire import pack, unpack
from pagefault.cluster.worlds.environment import ActionSpace, IllegalAction
from pagefault.runtime.errors import ConfigError, StoreUnavailable
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.definition import CallContext

NAMESPACE = "pagefault-worlds"
"""Ray's, of all actors that run environments."""
AWAY_S = 60.0
"""A call waits this long for an actor that died to come back."""
PAUSE_S = 0.2
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]+")


class Acts(Protocol):
    """Where a call ends: an arena in this process."""

    async def act(self, agent: str, call_id: str, arguments: Mapping[str, Any]) -> str: ...


HERE: dict[str, Acts] = {}
"""The arenas of this process, by address."""
_PLACES: dict[tuple[str, str], str] = {}
"""The actor in which an agent plays, by address and agent, as its first call found out."""
PLACES_MAX = 100_000


def make_action(name: str, description: str, space: ActionSpace, address: str) -> Callable[..., Any]:
    """The function ``name`` of an action space, for the environments of the arenas at ``address``.

    Raises :class:`~pagefault.runtime.errors.FunctionDefinitionError` for a name that is none, and
    :class:`~pagefault.runtime.errors.ConfigError` for parameters whose names are no names in Python, or there twice.
    """
    names = {each.name: _NOT_IN_A_NAME.sub("_", each.name).strip("_") or "value" for each in space.parameters}
    if len(set(names.values())) != len(names) or not all(each.isidentifier() for each in names.values()):
        raise ConfigError("action_space", list(names), "keys that are different names")

    async def act(context: CallContext, **arguments: object) -> str:
        given = {original: arguments[shown] for original, shown in names.items()}
        return await send_action(address, context, given)

    described = "\n".join(f"    {names[each.name]}: {each.description}" for each in space.parameters)
    act.__name__ = name
    act.__qualname__ = f"{name}[{address}]"
    act.__doc__ = f"{description}\n\nArgs:\n{described}\n" if described else description
    hints = {"context": CallContext, **{names[each.name]: each.hint for each in space.parameters}}
    act.__annotations__ = hints
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(each, keyword, annotation=hints[each]) for each in hints])
    setattr(act, "__signature__", signature)  # noqa: B010 - a function has no such attribute for a type checker
    return function(effect="idempotent", name=name)(act)


async def send_action(address: str, context: CallContext, arguments: Mapping[str, Any]) -> str:
    """Bring an action to its environment; what the player is told.

    Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction` with what would be legal, and
    :class:`~pagefault.runtime.errors.StoreUnavailable` when the environment is nowhere.
    """
    arena = HERE.get(address)
    if arena is not None:
        return await arena.act(context.agent, context.call_id, arguments)
    data = pack([context.agent, context.call_id, dict(arguments)])
    place = await _place(address, context.agent)
    legal, text = unpack(await ask_arena(place, "act", data))
    if not legal:
        raise IllegalAction(text)
    return str(text)


def actor_name(address: str, number: int = 0) -> str:
    """The name of one of the actors of an address: the first knows who plays in which."""
    return f"{address}-{number}"


async def _place(address: str, agent: str) -> str:
    place = _PLACES.get((address, agent), "")
    if not place:
        place = await ask_arena(actor_name(address), "place", agent)
        if not place:
            raise IllegalAction("You have no place in this world.")
        if len(_PLACES) >= PLACES_MAX:
            _PLACES.clear()
        _PLACES[address, agent] = place
    return place


async def ask_arena(address: str, method: str, *arguments: object) -> Any:
    """Call a method of an arena that runs as a Ray actor, waiting a while for one that is coming back.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable`.
    """

    async def once() -> Any:
        handle = _ray.find_actor(address, NAMESPACE)
        if handle is None:
            raise StoreUnavailable(f"no world runs at {address}: it has ended")
        return await _ray.call(handle, method, *arguments)

    return await _patiently(once, address)


async def _patiently(ask: Callable[[], Awaitable[Any]], address: str) -> Any:
    loop = asyncio.get_running_loop()
    until = loop.time() + AWAY_S
    while True:
        try:
            return await ask()
        except _ray.ActorDied as error:
            raise StoreUnavailable(f"the world at {address} has ended: {error}") from error
        except _ray.ActorLost as error:
            if loop.time() > until:
                raise StoreUnavailable(f"the world at {address} did not come back within {AWAY_S:.0f} s") from error
            await asyncio.sleep(PAUSE_S)

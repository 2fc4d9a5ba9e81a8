"""Minds that are Python functions: for tests, baselines, simulations and rule-based players.

A mind gets the request that a language model would get and returns what to do::

    @mind("parrot")
    def parrot(request: ModelRequest) -> Reply:
        heard = View(request).incoming
        return say(heard.text) if heard else nothing()

It must be a function of the request alone if runs are to be repeated exactly.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pagefault.runtime.errors import ConfigError, ModelError, ModelMalformed, UnknownName, UsageError
from pagefault.runtime.models.retry import Timing
from pagefault.runtime.values import FunctionCall, ModelReply, ModelRequest

HEARTBEAT = "request_heartbeat"
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Act:
    """One call to make."""

    name: str
    arguments: str


Reply = ModelReply | Act | str | None | Iterable[Act | str]
"""What a mind may return: acts in order, with plain strings as thoughts beside them."""
Mind = Callable[[ModelRequest], Reply | Awaitable[Reply]]
M = TypeVar("M", bound=Mind)

_MINDS: dict[str, Mind] = {}


def call(name: str, /, heartbeat: bool = False, **arguments: Any) -> Act:  # noqa: FBT002  read as call("f", True)
    """Call a function; ``heartbeat`` asks for another step after its result."""
    if heartbeat:
        arguments[HEARTBEAT] = True
    return Act(name, _ENCODE(arguments))


def say(message: str) -> Act:
    """Send a message to whoever is being served."""
    return call("send_message", message=message)


def nothing() -> tuple[Act, ...]:
    """Do nothing, and wait for what comes next."""
    return ()


def mind(name: str) -> Callable[[M], M]:
    """Register a mind under a name, so that definitions can say ``scripted:NAME``.

    Raises:
        UsageError: another mind has this name.
    """

    def register(function: M) -> M:
        present = _MINDS.get(name)
        if present is not None and _origin(present) != _origin(function) and not _is_same_text(present, function):
            raise UsageError(f"mind {name!r} is registered already, by {_origin(present)}; choose another name")
        _MINDS[name] = function
        return function

    return register


def find_mind(reference: str) -> Mind:
    """A registered mind, or ``"module:function"``, which is imported.

    Raises:
        UnknownName: there is none; the text says what there is.
    """
    if reference in _MINDS:
        return _MINDS[reference]
    module_name, colon, attribute = reference.partition(":")
    if not colon:
        near = difflib.get_close_matches(reference, _MINDS, n=3) or sorted(_MINDS)
        raise UnknownName(
            f"mind {reference!r} is not registered; there are: {', '.join(near)}. "
            "Write @mind(name) above it and import its module, or name it as 'module:function'"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UnknownName(f"mind {reference!r}: there is no module {error.name!r} to import") from error
    except (ValueError, TypeError) as error:  # an empty or relative module name
        raise UnknownName(f"mind {reference!r}: write it as 'package.module:function'") from error
    for step in attribute.split("."):
        found = getattr(found, step, None)
    if not callable(found):
        raise UnknownName(f"mind {reference!r}: module {module_name!r} has no function {attribute!r}")
    known: Mind = found
    return known


@mind("nothing")
def _nothing(_: ModelRequest) -> Reply:
    return nothing()


class ScriptedProcessor:
    """A processor whose model is a Python function.

    Args:
        script: the mind, or its name as for :func:`find_mind`.
        latency_ms: how long every reply takes.
        timing: the clock it takes it on.
        window_tokens: as for any processor.

    Raises:
        UnknownName: no mind has this name.
    """

    def __init__(
        self,
        script: Mind | str,
        *,
        latency_ms: float = 0,
        timing: Timing = Timing(),  # noqa: B008  frozen
        window_tokens: int = 0,
    ) -> None:
        if not 0 <= latency_ms < float("inf"):
            raise ConfigError("model.latency_ms", latency_ms, "a number of milliseconds from 0 up")
        self._mind = find_mind(script) if isinstance(script, str) else script
        self.name = f"scripted:{script if isinstance(script, str) else _origin(script)}"
        self.window_tokens = window_tokens
        self._latency_ms = latency_ms
        self._is_async = inspect.iscoroutinefunction(self._mind)
        self._timing = timing

    def reply_now(self, request: ModelRequest) -> ModelReply | None:
        """The reply without a task or a wait, for hosts that look for this method.

        ``None`` if this mind takes its time (``latency_ms``, or an ``async`` function): use :meth:`reply`.
        Raises ``ModelMalformed`` if the mind fails or returns what is no reply.
        """
        if self._latency_ms or self._is_async:
            return None
        try:
            found: Any = self._mind(request)
            if inspect.iscoroutine(found):  # a plain function that returns one: ask it the other way from now on
                found.close()
                self._is_async = True
                return None
            return found if isinstance(found, ModelReply) else make_reply(request, found)
        except ModelError:
            raise
        except Exception as error:  # users' code may raise anything
            raise self._blamed(error) from error

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Ask the mind.  Raises ``ModelMalformed`` if it fails or returns what is no reply."""
        if self._latency_ms:
            await self._timing.sleep_ms(self._latency_ms)
        try:
            found: Any = self._mind(request)
            if inspect.isawaitable(found):
                found = await found
            return found if isinstance(found, ModelReply) else make_reply(request, found)
        except ModelError:
            raise
        except Exception as error:  # users' code may raise anything
            raise self._blamed(error) from error

    def _blamed(self, error: Exception) -> ModelMalformed:
        return ModelMalformed(f"mind {self.name} failed: {type(error).__name__}: {error}")

    async def close(self) -> None:
        """Nothing is held open."""


def make_reply(request: ModelRequest, reply: Reply) -> ModelReply:
    """What a mind returned as a model's reply.

    Call ids follow from the request, so that the same request always gives the same reply.
    """
    if reply is None:
        return ModelReply()
    if isinstance(reply, ModelReply):
        return reply
    parts: Iterable[object] = (reply,) if isinstance(reply, Act | str) else reply
    last = request.messages[-1].text if request.messages else ""
    stem = f"{zlib.crc32(last.encode(errors='replace')):08x}{len(request.messages):x}{request.prompt_tokens:x}"
    calls: list[FunctionCall] = []
    thoughts: list[str] = []
    for part in parts:
        if isinstance(part, Act):
            calls.append(FunctionCall(f"call_{stem}_{len(calls)}", part.name, part.arguments))
        elif isinstance(part, str):
            thoughts.append(part)
        else:
            raise TypeError(f"a mind returned {part!r}; it may return say(...), call(...), text, or a list of them")
    return ModelReply(text="\n".join(thoughts), calls=tuple(calls), finish="calls" if calls else "stop")


def _is_same_text(one: object, other: object) -> bool:
    """Whether two functions are one in its file: a program that was started is imported again by its module's name."""
    places = [getattr(each, "__code__", None) for each in (one, other)]
    found = [(code.co_filename, code.co_firstlineno) for code in places if code is not None]
    return len(found) == len(places) and found[0] == found[1]


def _origin(function: Mind) -> str:
    module = getattr(function, "__module__", type(function).__module__)
    return f"{module}:{getattr(function, '__qualname__', type(function).__qualname__)}"

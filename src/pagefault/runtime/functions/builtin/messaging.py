"""Talking: to whoever sent the interrupt being served, and to other agents."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import CallAgent, CallProblem, Done, MemoryView, Outcome, Say, SendTo

CALL_TIMEOUT_SECONDS = 60
CALL_TIMEOUT_SECONDS_MAX = 3_600


@function(chains="never")
def send_message(view: MemoryView, message: str) -> Outcome:
    """Send a message to whoever you are serving now. It is the only thing that they see of you.

    Args:
        message: What to say.
    """
    if not message.strip():
        raise CallProblem("The message is empty; write what to say, or call yield_control to say nothing.")
    return Done("Sent.", (Say(message),))


@function
def send_to_agent(view: MemoryView, agent: str, message: str) -> Outcome:
    """Send a message to another agent without waiting for an answer.

    Args:
        agent: The other agent's id.
        message: What to say.
    """
    _check(view, agent, message)
    return Done(f"Sent to {agent}.", (SendTo(agent, message),))


@function(chains="always")
def call_agent(  # noqa: PLR0917 - models call by name
    view: MemoryView,
    agent: str,
    message: str | None = None,
    function: str | None = None,
    arguments: str = "{}",
    timeout_seconds: Annotated[int, Field(ge=1, le=CALL_TIMEOUT_SECONDS_MAX)] = CALL_TIMEOUT_SECONDS,
) -> Outcome:
    """Ask another agent and wait for the result: its answer to a message, or what a function of its own returns.

    Args:
        agent: The other agent's id.
        message: What to ask. Leave it out to call a function.
        function: A function that the other agent exports, to be run there at once.
        arguments: The function's arguments as one JSON object.
        timeout_seconds: How long to wait.
    """
    deadline_ms = view.now_ms + timeout_seconds * 1_000
    if function is None:
        _check(view, agent, message or "")
        return CallAgent(agent, message or "", deadline_ms)
    if message is not None:
        raise CallProblem("Give either a message, which the agent answers, or a function, which it runs; not both.")
    if not function.strip():
        raise CallProblem("The function is empty; write the name of a function that the agent exports.")
    _check(view, agent, function)
    return CallAgent(agent, arguments, deadline_ms, function)


def _check(view: MemoryView, agent: str, message: str) -> None:
    if not agent.strip():
        raise CallProblem("The agent is empty; write the id of the agent to send to.")
    if agent == view.agent_id:
        raise CallProblem("That is your own id; you cannot send to yourself. To be reminded later, call set_timer.")
    if not message.strip():
        raise CallProblem("The message is empty; write what to say.")

"""Groups of agents: who is subscribed to a topic hears what is published there."""

from __future__ import annotations

import re

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import CallProblem, MemoryView, Outcome, PublishTo, SubscribeTo

TOPIC_CHARS_MAX = 100
_TOPIC = re.compile(r"\w[\w.:/-]*")


def topic_problem(topic: str) -> str:
    """What is wrong with the name of a topic; empty if nothing is."""
    if len(topic) <= TOPIC_CHARS_MAX and _TOPIC.fullmatch(topic):
        return ""
    shown = topic if len(topic) <= TOPIC_CHARS_MAX else f"{topic[:40]}… ({len(topic)} characters)"
    return (
        f"topic: found {shown!r}, allowed: 1 to {TOPIC_CHARS_MAX} letters, digits and . _ - : /, "
        "beginning with a letter or digit"
    )


@function(effect="idempotent")
def subscribe(view: MemoryView, topic: str) -> Outcome:
    """Hear from now on what is published under a topic.

    Args:
        topic: Its name, such as weather or team/red.
    """
    return SubscribeTo(_checked(topic), subscribed=True)


@function(effect="idempotent")
def unsubscribe(view: MemoryView, topic: str) -> Outcome:
    """Hear no more of a topic.

    Args:
        topic: Its name.
    """
    return SubscribeTo(_checked(topic), subscribed=False)


@function(effect="idempotent")
def publish(view: MemoryView, topic: str, message: str) -> Outcome:
    """Send a message to all agents that are subscribed to a topic, without waiting for answers.

    Args:
        topic: Its name.
        message: What to say.
    """
    if not message.strip():
        raise CallProblem("The message is empty; write what to say.")
    return PublishTo(_checked(topic), message)


def _checked(topic: str) -> str:
    problem = topic_problem(topic)
    if problem:
        raise CallProblem(problem)
    return topic

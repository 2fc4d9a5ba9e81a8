"""Logs on standard error: for people on a terminal, one JSON object a line everywhere else.

Ray writes the standard error of each of its processes to a file of its node (``worker-*.err`` in its folder of logs).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

from pagefault.cluster import _ray_process
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.secrecy import learn_secrets

LogFormat = Literal["auto", "json", "console"]
FORMATS = ("auto", "json", "console")
LEVELS = ("debug", "info", "warning", "error")
NOBODYS: Mapping[str, str] = {}


def check_logs(level: str, form: str) -> None:
    """Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    for field, found, allowed in (("log_level", level, LEVELS), ("log_format", form, FORMATS)):
        if found not in allowed:
            raise ConfigError(field, found, f"one of {', '.join(allowed)}")


def configure_logging(level: str, form: str = "auto", whose: Mapping[str, str] = NOBODYS) -> None:
    """Log from ``level`` up, in this process; ``auto`` is ``console`` on a terminal and ``json`` elsewhere.

    Lines about an agent's work have ``agent``, ``epoch`` and ``cause``; times are UTC.  ``whose`` is in every
    line.  Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    check_logs(level, form)
    is_json = form == "json" or (form == "auto" and not sys.stderr.isatty())

    # No context variable: the loops and threads of a process have contexts of their own.
    def say_whose(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.update(whose)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        say_whose,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[Any] = [_harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    if is_json:
        last = [structlog.processors.JSONRenderer(default=str)]  # escapes whatever is not ASCII
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    learn_secrets()


def configure_actor_logging(level: str, form: str, whose: Mapping[str, str]) -> None:
    """The same for an actor of a fleet, whose process is its own; elsewhere (simulations) logs stay as they are."""
    if _ray_process.is_rays_own():
        configure_logging(level, form, whose)


def _harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What agents write moves no cursor and hides no text; a traceback, which is ours, keeps its lines."""
    return {
        key: one_line(value) if isinstance(value, str) and key != "exception" else value for key, value in event.items()
    }

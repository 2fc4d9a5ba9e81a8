"""Logs on standard error: for people on a terminal, one JSON object a line everywhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from pagefault.cluster.console.show import one_line
from pagefault.runtime.host.secrecy import learn_secrets

LogFormat = Literal["auto", "json", "console"]


def configure_logging(level: str, form: LogFormat = "auto") -> None:
    """Log from ``level`` up, in this process; ``auto`` is ``console`` on a terminal and ``json`` elsewhere.

    Lines about an agent's work have ``agent``, ``epoch`` and ``cause``; times are UTC.
    """
    is_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
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


def _harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What agents write moves no cursor and hides no text; a traceback, which is ours, keeps its lines."""
    return {
        key: one_line(value) if isinstance(value, str) and key != "exception" else value for key, value in event.items()
    }

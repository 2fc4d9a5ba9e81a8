"""What is traced, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pagefault.runtime.host.config import config_error

OTLP = "otlp"
CONSOLE = "console"
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Traces(BaseModel):
    """Traces in OpenTelemetry's form, by the GenAI conventions; needs the extra ``otel``.

    ``exporter``: ``otlp`` (over HTTP, set up by the variables ``OTEL_EXPORTER_OTLP_*``), ``console`` (standard error),
    or ``module:function``, which makes a ``SpanExporter`` in each process that has agents.  ``share`` of all traces,
    from 0 to 1, are kept: all of a trace, on whichever host, or none.  ``content``: also what was said to models and
    by them, and what functions got and gave, without secrets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    exporter: str = OTLP
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    content: bool = False

    @field_validator("exporter")
    @classmethod
    def _check_exporter(cls, value: str) -> str:
        if value not in (OTLP, CONSOLE) and not _FACTORY.fullmatch(value):
            raise ValueError(f"{OTLP!r}, {CONSOLE!r} or 'module:function'")
        return value


Given: TypeAlias = Traces | Mapping[str, Any] | str | None


def read_traces(given: Given) -> Traces | None:
    """What a program gives as ``traces``: settings, a table of them, or the exporter's name alone.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    if given is None or isinstance(given, Traces):
        return given
    try:
        return Traces.model_validate({"exporter": given} if isinstance(given, str) else given)
    except ValidationError as error:
        raise config_error(error, "traces", Traces) from None

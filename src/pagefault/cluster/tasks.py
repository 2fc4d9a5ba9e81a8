"""Functions as Ray tasks: for work that needs resources of its own, or would hold a host up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.logs import configure_actor_logging
from pagefault.cluster.settings import FleetSettings, short_node
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.definition import CallContext, FunctionDefinition
from pagefault.runtime.functions.executor import run_function
from pagefault.runtime.values import Effect


@dataclass(frozen=True, slots=True)
class TaskLogs:
    """How the processes of tasks log: like those of the fleet whose functions they run."""

    fleet: str
    level: str
    format: str

    @classmethod
    def of(cls, settings: FleetSettings) -> TaskLogs:
        return cls(settings.name, settings.log_level, settings.log_format)

    def configure(self, definition: FunctionDefinition, context: CallContext | None) -> None:
        """A process runs one task at a time, so all that it says meanwhile is this call's."""
        whose = {"fleet": self.fleet, "role": "function", "function": definition.name}
        whose["node"] = short_node(_ray.this_node())
        if context is not None:
            whose |= {"agent": context.agent, "cause": context.cause, "call": context.call_id}
        configure_actor_logging(self.level, self.format, whose)


def _run_in_task(
    definition: FunctionDefinition, arguments: str, context: CallContext | None, logs: TaskLogs | None
) -> tuple[str, str]:
    before = structlog.get_config()
    if logs is not None:
        logs.configure(definition, context)
    try:
        return asyncio.run(run_function(definition, arguments, context))
    finally:
        structlog.configure(**before)  # what runs in this process next is another's


class RayRunner:
    """Runs each call as a task with the function's resources.

    A task whose worker died is tried again by Ray only if running it twice does no harm: a ``once``
    function then ends as ``unknown``.
    """

    def __init__(self, attempts_max: int = 3, logs: TaskLogs | None = None) -> None:
        if attempts_max < 1:
            raise ConfigError("tasks.attempts_max", attempts_max, "1 or more")
        self._attempts_max = attempts_max
        self._logs = logs

    async def run_function(
        self, definition: FunctionDefinition, arguments: str, context: CallContext | None = None
    ) -> tuple[str, str]:
        """See :class:`~pagefault.runtime.host.services.FunctionRunner`."""
        is_once = definition.effect is Effect.ONCE
        try:
            status, text = await _ray.run_task(
                _run_in_task,
                definition,
                arguments,
                context,
                self._logs,
                resources=definition.resources,
                retries=0 if is_once else self._attempts_max - 1,
            )
        except _ray.TaskLost as error:
            if is_once:
                return "unknown", ""
            return "failed", f"{definition.name}: its process died {self._attempts_max} times: {type(error).__name__}"
        return status, text

"""Functions as Ray tasks: for work that needs resources of its own, or would hold a host up."""

from __future__ import annotations

from pagefault.cluster import _ray
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.definition import CallContext, FunctionDefinition
from pagefault.runtime.values import Effect


class RayRunner:
    """Runs each call as a task with the function's resources.

    A task whose worker died is tried again by Ray only if running it twice does no harm: a ``once``
    function then ends as ``unknown``.
    """

    def __init__(self, attempts_max: int = 3) -> None:
        if attempts_max < 1:
            raise ConfigError("tasks.attempts_max", attempts_max, "1 or more")
        self._attempts_max = attempts_max

    async def run_function(
        self, definition: FunctionDefinition, arguments: str, context: CallContext | None = None
    ) -> tuple[str, str]:
        """See :class:`~pagefault.runtime.host.services.FunctionRunner`."""
        is_once = definition.effect is Effect.ONCE
        try:
            status, text = await _ray.run_task(
                definition,
                arguments,
                context,
                resources=definition.resources,
                retries=0 if is_once else self._attempts_max - 1,
            )
        except _ray.TaskLost as error:
            if is_once:
                return "unknown", ""
            return "failed", f"{definition.name}: its process died {self._attempts_max} times: {type(error).__name__}"
        return str(status), str(text)

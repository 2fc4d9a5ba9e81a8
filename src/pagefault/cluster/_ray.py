"""Every call of Ray that Pagefault makes, typed, in one file.

Only bytes and plain values cross the methods of our actors: what agents write never meets pickle.  Code
(functions given to a cluster) travels as Ray's own business, when an actor is made.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import ray
from ray._private import state
from ray._private.authentication import authentication_token_setup as token_setup
from ray.actor import ActorHandle
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.experimental import internal_kv
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pagefault.cluster.ray_token import keep_token_private
from pagefault.policies.contract import PolicyError
from pagefault.runtime import errors
from pagefault.runtime.errors import ConfigError, PagefaultError, StoreUnavailable

Handle: TypeAlias = ActorHandle[Any]
T = TypeVar("T")
KV_NAMESPACE = "pagefault"
OBJECT_STORE_BYTES = 100 * 2**20
"""Messages travel inside calls, so the shared object store of a local cluster can be small."""

WHAT_TO_SHOW = "this one wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH if it is not in ~/.ray"

TaskLost = (WorkerCrashedError, RayTaskError)
"""A task's worker died, or its code could not be brought to it."""

ActorLost = (RayActorError, ActorUnavailableError, ActorUnschedulableError)
"""The actor is dead or cannot be reached: it may come back under the same name."""

ActorDied = (ActorDiedError, ActorUnschedulableError)
"""The actor is dead for good, or the only node that will do is gone."""


class NameTakenError(Exception):
    """An actor of that name runs in that namespace."""


class Session:
    """A connection to Ray: begun here (``address=None``), or a cluster that runs already.

    ``runtime_env`` is Ray's: it holds for the whole job, so it can only be given where the connection is begun.
    ``shows_token``: show that cluster the token of this user's home; Ray does so by itself only for ``auto``,
    since whoever is at an address given by hand may not be meant to see it.
    """

    def __init__(
        self,
        address: str | None,
        *,
        cpus: int | None = None,
        temp_folder: Path | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        shows_token: bool = False,
    ) -> None:
        self._owned = False
        self.began_ray = False
        """Whether Ray itself was begun here, and ends here: nothing of it outlives this process."""
        if ray.is_initialized():
            _check_joined(address, runtime_env)
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": True, "logging_level": logging.ERROR}
        if runtime_env:
            options["runtime_env"] = dict(runtime_env)
        if address is None:
            # "local", never a bare init: that might join a cluster that somebody else runs on this machine.
            folder = temp_folder or Path(tempfile.gettempdir()) / f"pagefault-ray-{os.getuid()}"
            options |= {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": str(folder),
            }
            keep_token_private()  # Ray wants it shown by default, and would let others read it
            if cpus is not None:
                options["num_cpus"] = cpus
        else:
            options["address"] = address
        logging.getLogger("ray").setLevel(logging.ERROR)  # as the options say, which it reads only later
        if shows_token:
            token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        try:
            ray.init(**options)
        except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = address or "a local cluster"
            problem = WHAT_TO_SHOW if "InvalidAuthToken" in repr(error.__cause__) else error
            raise ConfigError("address", where, f"a Ray cluster that can be reached: {problem}") from error
        self._owned = True
        self.began_ray = address is None

    def close(self) -> None:
        """Leave the cluster; one that was begun here ends."""
        if self._owned and ray.is_initialized():
            ray.shutdown()
        self._owned = False


def _check_joined(address: str | None, runtime_env: Mapping[str, Any] | None) -> None:
    """A process has one connection to Ray; what is asked for must be the one that is there."""
    if address not in (None, "auto", "local") and address != (here := gcs_address()):
        raise ConfigError("address", address, f"{here}, which this process is connected to already, or None")
    if runtime_env:
        raise ConfigError(
            "runtime_env", dict(runtime_env), "nothing when this process is connected to Ray already: see ray.init"
        )


def gcs_address() -> str:
    """Where the Ray cluster of this process can be joined: ``IP:PORT``."""
    return str(ray.get_runtime_context().gcs_address)


def wants_token() -> bool:
    """Whether the Ray cluster of this process wants to be shown a token."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def this_node() -> str:
    """The id of the node that this process is on."""
    return str(ray.get_runtime_context().get_node_id())


def this_job() -> str:
    """The id of this driver's job: see :func:`job_is_over`."""
    return str(ray.get_runtime_context().get_job_id())


def job_is_over(job: str) -> bool:
    """Whether a driver has left or died; ``False`` as well when that cannot be known now.  Blocks for a moment."""
    try:
        jobs = cast("Any", state.jobs)()
    except (RayError, RuntimeError, OSError):
        return False
    # Ray forgets the oldest jobs that have ended, so one that is missing has; but an empty list says nothing.
    return bool(jobs) and all(entry["IsDead"] for entry in jobs if entry["JobID"] == job)


def start_actor(
    cls: type,
    *arguments: object,
    name: str,
    namespace: str,
    cpus: float = 0.0,
    resources: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
    node: str = "",
    max_concurrency: int = 1000,
    control_concurrency: int = 16,
    restarts: int = 0,
    detached: bool = False,
) -> Handle:
    """Start an asynchronous actor with a ``ctl`` lane of its own, so that control never waits behind work.

    ``resources`` are Ray's by name, ``CPU`` (instead of ``cpus``), ``GPU`` and ``memory`` among them;
    ``labels`` of the nodes that will do (Ray's label selector); ``node`` is the id of the only one that will.
    Raises :class:`NameTakenError`.
    """
    wanted = dict(resources or {})
    options: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "num_cpus": wanted.pop("CPU", cpus),
        "num_gpus": wanted.pop("GPU", 0),
        "max_concurrency": max_concurrency,
        "max_restarts": restarts,
        "max_task_retries": 0,
    }
    memory_bytes = wanted.pop("memory", 0)
    if memory_bytes:
        options["memory"] = memory_bytes
    if wanted:
        options["resources"] = wanted
    if labels:
        options["label_selector"] = dict(labels)
    if node:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
    if detached:
        options["lifetime"] = "detached"
    remote: Any = cast("Any", ray.remote)(concurrency_groups={"ctl": control_concurrency})(cls)
    try:
        return cast("Handle", remote.options(**options).remote(*arguments))
    except (
        ValueError
    ) as error:  # Ray has no class of its own for it; "already exists" and "already taken" are its words
        if "already" in str(error):
            raise NameTakenError(f"{name} in {namespace}") from error
        raise


def control(method: Any) -> Any:
    """Mark an actor's method as one of the ``ctl`` lane."""
    return ray.method(concurrency_group="ctl")(method)


async def call(handle: Handle, method: str, *arguments: object) -> Any:
    """Call a method and wait for its result without blocking the loop.

    Errors of ours come back as what they were; a lost actor raises one of :data:`ActorLost`.
    """
    try:
        return await cast("Awaitable[Any]", getattr(handle, method).remote(*arguments))
    except RayTaskError as error:
        raise unwrap(error) from None


async def call_constructed(handle: Handle, method: str) -> Any:
    """The first call of an actor: what its constructor raised comes back as what it was."""
    try:
        return await call(handle, method)
    except ActorDiedError as error:
        raise _constructor_error(error) from None


def _constructor_error(error: ActorDiedError) -> BaseException:
    """Ray keeps the constructor's error as text only; the last line names it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        name, colon, text = line.partition(": ")
        cls = getattr(errors, name.rpartition(".")[2], None)
        if colon and isinstance(cls, type) and issubclass(cls, PagefaultError):
            return StoreUnavailable(text) if issubclass(cls, ConfigError) else cls(text)
    return StoreUnavailable(f"an actor could not start: {lines[-1] if lines else error}")


def call_now(handle: Handle, method: str, *arguments: object, timeout_s: float | None = 60.0) -> Any:
    """The same for code that may block (never inside an actor)."""
    try:
        return ray.get(getattr(handle, method).remote(*arguments), timeout=timeout_s)
    except RayTaskError as error:
        raise unwrap(error) from None


async def run_task(run: Callable[..., T], *arguments: object, resources: Mapping[str, float] | None, retries: int) -> T:
    """Call a module's function as a Ray task, and wait for it; cancelling this cancels the task.

    ``resources`` are Ray's by name, ``CPU`` and ``GPU`` among them; one CPU where nothing is said.  Raises
    one of :data:`TaskLost` when its worker died and ``retries`` are used up.
    """
    wanted = dict(resources or {})
    options: dict[str, Any] = {
        "num_cpus": wanted.pop("CPU", 1),
        "num_gpus": wanted.pop("GPU", 0),
        "max_retries": retries,
    }
    if wanted:
        options["resources"] = wanted
    reference = cast("Any", ray.remote)(run).options(**options).remote(*arguments)
    try:
        result: T = await reference
    except asyncio.CancelledError:
        ray.cancel(reference, force=True)
        raise
    return result


async def each_in_task(
    function: Callable[[str], str], arguments: Sequence[str], *, at_once: int
) -> AsyncGenerator[tuple[int, str], None]:
    """Call a module's function with each argument, as Ray tasks; ``(place, result)`` as they end.

    No more than ``at_once`` are handed out, so that stopping loses little.  What a task raises is raised, and
    ends the rest; so does closing the iterator.  A worker that dies is replaced, twice.
    """
    remote = cast("Any", ray.remote)(function).options(num_cpus=1, max_retries=2)
    waiting = iter(enumerate(arguments))
    running: dict[asyncio.Task[Any], tuple[int, Any]] = {}
    try:
        while True:
            while len(running) < at_once and (following := next(waiting, None)) is not None:
                place, argument = following
                reference = remote.remote(argument)
                running[asyncio.ensure_future(_result(reference))] = (place, reference)
            if not running:
                return
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                place, _ = running.pop(task)
                yield place, task.result()
    finally:
        for task, (_, reference) in running.items():
            task.cancel()
            ray.cancel(reference, force=True)
        await asyncio.gather(*running, return_exceptions=True)


async def _result(reference: Any) -> Any:
    try:
        return await reference
    except RayTaskError as error:
        raise unwrap(error) from None


def unwrap(error: RayTaskError) -> BaseException:
    """The error that a method raised, out of Ray's wrapping."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, PagefaultError | PolicyError | TimeoutError) else error


def find_actor(name: str, namespace: str) -> Handle | None:
    """A named actor, if there is one."""
    try:
        return ray.get_actor(name, namespace=namespace)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node of the cluster that is alive."""

    id: str
    address: str
    cpus: float
    labels: Mapping[str, str]


def nodes() -> list[NodeState]:
    """The nodes that are alive.  Blocks for a moment."""
    return [
        NodeState(
            entry["NodeID"], entry["NodeManagerAddress"], float(entry["Resources"].get("CPU", 0)), entry["Labels"]
        )
        for entry in cast("Any", ray.nodes)()
        if entry["Alive"]
    ]


def remember(namespace: str, key: str) -> None:
    """Keep a word as long as the Ray cluster lives: see :func:`remembered`.  Blocks for a moment."""
    put: Any = internal_kv._internal_kv_put  # noqa: SLF001 - Ray gives its own store of keys no public name
    put(f"{namespace}/{key}", b"", namespace=KV_NAMESPACE)


def remembered(namespace: str) -> list[str]:
    """What was kept under a namespace, whoever kept it.  Blocks for a moment."""
    prefix = f"{namespace}/".encode()
    list_keys: Any = internal_kv._internal_kv_list  # noqa: SLF001 - as above
    return [key.removeprefix(prefix).decode() for key in list_keys(prefix, namespace=KV_NAMESPACE)]


def forget_remembered(namespace: str) -> None:
    """Nothing is kept under a namespace any more.  Blocks for a moment."""
    delete: Any = internal_kv._internal_kv_del  # noqa: SLF001 - as above
    delete(f"{namespace}/", del_by_prefix=True, namespace=KV_NAMESPACE)


def named_actors() -> list[tuple[str, str]]:
    """Name and namespace of every named actor of the cluster."""
    return [(entry["name"], entry["namespace"]) for entry in cast("Any", list_named_actors)(all_namespaces=True)]


def end_actor(handle: Handle) -> None:
    """Stop an actor's process; harmless when it is gone."""
    try:
        ray.kill(handle, no_restart=True)
    except (RayError, ValueError) as error:
        raise StoreUnavailable(f"an actor could not be stopped: {error}") from error


def cpu_count() -> int:
    """Processors of the whole cluster."""
    return max(1, int(cast("Any", ray.cluster_resources)().get("CPU", 1)))

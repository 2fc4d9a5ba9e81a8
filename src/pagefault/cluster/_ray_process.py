"""What this process is to Ray."""

from __future__ import annotations

import ray


def is_rays_own() -> bool:
    """Whether Ray began this process for an actor or a task: nothing else lives in it then."""
    return ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE

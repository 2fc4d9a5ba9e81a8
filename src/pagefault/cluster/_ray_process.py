"""What this process is to Ray."""

from __future__ import annotations

import sys
from typing import Any


def is_rays_own() -> bool:
    """Whether Ray began this process for an actor or a task: nothing else lives in it then."""
    ray: Any = sys.modules.get("ray")  # its own processes have it; to others it is half a second of loading
    return ray is not None and ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE

"""Settings that every test shares."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Ray's workers have the environment of the raylet that starts them, whichever test begins the first one of a process:
# they have to find the minds that tests bring.
_ROOT = Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])

# The suite is the same on every run; `HYPOTHESIS_PROFILE=explore` looks further, `soak` much further.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.register_profile(
    "soak", deadline=None, max_examples=20_000, stateful_step_count=200, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

gc.disable()  # until everything is imported: nothing of it is garbage


def pytest_collection_finish() -> None:
    """The collector of cycles need not look at four thousand tests again and again: an eighth of their time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A logger that a test's command configured would go on writing to what that test captured."""
    yield
    structlog.reset_defaults()

"""Settings that every test shares."""

import os

from hypothesis import HealthCheck, settings

# The suite is the same on every run; `HYPOTHESIS_PROFILE=explore` looks further, `soak` much further.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.register_profile(
    "soak", deadline=None, max_examples=20_000, stateful_step_count=200, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

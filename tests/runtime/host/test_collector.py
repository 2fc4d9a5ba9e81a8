from __future__ import annotations

import subprocess
import sys

CHECK = """
import gc
import pagefault.runtime.host.local  # what a host has in memory anyway
from pagefault.runtime.host.collector import YOUNG_OBJECTS, tune_collector
tune_collector()
print(gc.get_threshold()[0] == YOUNG_OBJECTS, gc.get_freeze_count() > 10_000, gc.isenabled())
"""


def test_it_collects_rarely_but_it_collects() -> None:
    ran = subprocess.run([sys.executable, "-c", CHECK], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "True", "True"]

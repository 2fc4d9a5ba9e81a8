"""Python's garbage collector, told that a host holds much that stays.

A host's contexts, tables and code live as long as it does, and a step makes hundreds of small objects that are
freed by their reference counts.  By default the collector looks at all of them every 700 new objects; that is a
sixth of a step's time (``python -m benchmarks.step``).
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000
YOUNG_ROUNDS = 20
MIDDLE_ROUNDS = 50


def tune_collector() -> None:
    """For a process of our own: collect rarely, and never look again at what there is now.

    It is the whole process's collector, so a program that embeds a fleet decides for itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_ROUNDS, MIDDLE_ROUNDS)

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from benchmarks.local_model import examine, make_task, put

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("needle") is None,
    reason="the local model is not installed: pip install 'pagefault[local]'",
)


def test_seeds_vary_the_facts() -> None:
    tasks = {make_task(seed) for seed in range(1, 11)}
    assert len(tasks) == 10
    assert all(task.answer in task.told and task.answer not in task.asked for task in tasks)


@pytest.mark.slow
def test_the_real_model_finds_again_what_has_left_its_context() -> None:
    outcome = asyncio.run(put(1, "notes"))
    assert (outcome.stored, outcome.left_the_context, outcome.searched, outcome.found) == (True, True, True, True)


@pytest.mark.soak
@pytest.mark.parametrize("variant", ["notes", "speaking", "names"])
def test_it_does_so_for_eight_seeds_of_ten(variant: str) -> None:
    assert sum(outcome.found for outcome in examine(variant, range(1, 11))) >= 8

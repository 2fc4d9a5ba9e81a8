from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks._cache import misses
from benchmarks.lab import ours, theirs
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.lab.files import write_oracle_general
from pagefault.policies.lab.makers.synthetic import zipf

CAPACITIES = (1, 7, 50, 200)


def test_the_misses_are_those_of_the_plainest_cache() -> None:
    trace = zipf(pages=200, accesses=5_000, seed=3)
    accessed, pages = trace.events.page.tolist(), len(trace.pages)
    for capacity in CAPACITIES:
        seconds, missed = ours(trace, capacity)
        assert seconds > 0
        assert missed == misses(Lru(), accessed, (1,) * pages, capacity)[0]


@pytest.mark.skipif(find_spec("libcachesim") is None, reason="libcachesim comes with the extra 'bench'")
def test_the_two_that_are_compared_miss_alike(tmp_path: Path) -> None:
    trace = zipf(pages=200, accesses=5_000, seed=4)
    path = tmp_path / "zipf.oracleGeneral"
    write_oracle_general(trace, path)
    for capacity in CAPACITIES:
        seconds, missed = theirs(path, capacity, len(trace))
        assert seconds > 0
        assert missed == ours(trace, capacity)[1]


def test_a_partner_that_does_not_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="of the extra 'bench', did not run"):
        theirs(tmp_path / "absent.oracleGeneral", 10, 100)

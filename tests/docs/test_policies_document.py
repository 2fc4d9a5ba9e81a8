"""What docs/policies.md shows is run, type-checked and held to its word."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from pagefault.policies import registry
from pagefault.policies.conformance import check_eviction_policy
from pagefault.policies.contract import EvictionPolicy, FetchPolicy, ImportanceScorer, WriteBack

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "policies.md").read_text()
FENCES = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for fence, body in FENCES.findall(TEXT) if fence == language]


@pytest.fixture(scope="module")
def shown() -> ModuleType:
    """The document's Python, run from top to bottom."""
    module = ModuleType("my_policies")
    exec(compile("\n".join(blocks("python")), "docs/policies.md", "exec"), vars(module))  # noqa: S102 - our own document
    return module


def test_the_policies_are_what_they_say(shown: ModuleType) -> None:
    assert isinstance(shown.LargestFirst(), EvictionPolicy)
    assert isinstance(shown.KeepPromises(), WriteBack)
    assert isinstance(shown.WholeSession(), FetchPolicy)
    assert isinstance(shown.LongIsImportant(), ImportanceScorer)
    check_eviction_policy(shown.LargestFirst, steps=500, seed=9)


def test_an_eviction_policy_takes_fewer_than_25_lines() -> None:
    tree = ast.parse("\n".join(blocks("python")))
    (policy,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "LargestFirst")
    assert len(ast.unparse(policy).replace("\n\n", "\n").splitlines()) < 25


def test_it_type_checks(tmp_path: Path) -> None:
    # Policies import nothing of the rest of the package, so that part of it is enough, and quicker.
    shutil.copytree(ROOT / "src" / "pagefault" / "policies", tmp_path / "pagefault" / "policies")
    (tmp_path / "pagefault" / "__init__.py").touch()
    (tmp_path / "shown.py").write_text("\n".join(blocks("python")))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", "shown.py"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_entry_points_name_what_is_shown(shown: ModuleType) -> None:
    (table,) = (tomllib.loads(block) for block in blocks("toml") if "entry-points" in block)
    points = table["project"]["entry-points"][registry.GROUP]
    assert {value.partition(":")[2] for value in points.values()} == {
        "LargestFirst",
        "KeepPromises",
        "WholeSession",
        "LongIsImportant",
    }
    for name, value in points.items():
        kind, _, own_name = name.partition(".")
        assert kind in {"eviction", "write_back", "fetch", "scorer"}
        assert vars(shown)[value.partition(":")[2]].name == own_name


def test_the_table_is_complete() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|$", TEXT, re.MULTILINE))
    factories = {**registry.EVICTION, **registry.WRITE_BACK, **registry.FETCH, **registry.SCORERS}
    assert set(rows) == set(factories)
    for name, factory in factories.items():
        said = dict(re.findall(r"`(\w+)` \(([\w.]+)", rows[name]))
        real = {each.name: each.default for each in inspect.signature(factory).parameters.values()}
        assert set(said) == set(real)
        for parameter, default in real.items():
            shown = {str(default).lower()} | ({f"{default:g}"} if isinstance(default, (int, float)) else set())
            assert said[parameter] in shown, parameter

"""The style that matters is a test.  These rules may only get stricter.

The checkers are in ``tests/tidy.py``.  Each is run over the tree, and over small bad samples which prove
that it can fail.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath
from typing import Any

import grimp
import pytest

import pagefault
from tests import tidy

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pagefault"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

PUBLIC_NAMES = [
    "Agent",
    "AgentFailed",
    "AgentRef",
    "Changes",
    "Cluster",
    "ConfigError",
    "DeadLetter",
    "Inspection",
    "Interrupt",
    "InterruptKind",
    "Local",
    "ModelError",
    "ModelRequest",
    "Overloaded",
    "PagefaultError",
    "Priority",
    "Reply",
    "Step",
    "StoreError",
    "View",
    "VirtualClock",
    "call",
    "function",
    "mind",
    "nothing",
    "say",
]
LINKS = {room: f"src/pagefault/{room}" for room in ("cluster", "policies", "runtime")}
PURE_ROOMS = ("runtime/kernel", "runtime/values.py", "runtime/errors.py", "policies")
IMPURE_PARTS = ("policies/lab", "policies/offline")  # the lab reads files; optimal bounds may use what they need
EXTERNAL_OWNERS = {
    "ray": ("cluster",),
    "qdrant_client": ("runtime/store",),
    "qdrant_edge": ("runtime/store",),
    "openai": ("runtime/models", "runtime/store"),
}
NOT_MIRRORS = [
    "cluster/integration/",
    "docs/",  # the documents' examples
    "faults/",  # what must survive kills and lost messages
    "policies/facts.py",
    "property/",  # Hypothesis over several modules
    "simulation/",
    "test_tidy.py",
    "test_wheel.py",
    "typing/",
]
OWN_WORDS = {"tests/tidy.py", "tests/test_tidy.py"}
SHIPPED = ("src", "benchmarks", "examples")
PARTS_OF_DECLARED = ("httpcore2", "pydantic_core")  # installed by httpx2 and pydantic at one exact version each

DRIVER_OF_AN_EXTRA = "src/pagefault/runtime/store/postgres_session.py"
"""It may find psycopg missing, and says so to whoever asks for a journal in PostgreSQL."""
ROOMS_OF_EXTRAS = {
    "cluster/console/tui": {"textual"},
    "cluster/console/web": {"starlette", "uvicorn"},
    "runtime/functions/mcp/client": {"anyio", "mcp", "mcp_types"},  # the SDK brings the other two
    "runtime/host/telemetry/tracing/sdk.py": {"opentelemetry"},
}
"""What nothing imports by itself: a command loads them when it is called, and says if the extra is missing."""
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def tracked_files() -> list[Path]:
    """What is in the repository or would be with the next commit; links are not followed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def tracked_texts() -> list[Path]:
    """Tracked files that are text, but those that name what they forbid."""
    files = [path for path in tracked_files() if str(path.relative_to(ROOT)) not in OWN_WORDS]
    return [path for path in files if b"\0" not in path.read_bytes()]


def within(path: Path, *places: str) -> bool:
    return any(path.is_relative_to(PACKAGE / place) for place in places)


def assert_none(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def report(check: Callable[[str], list[str]], paths: list[Path]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{problem}" for path in paths for problem in check(path.read_text())]


def normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


# --- the tree --------------------------------------------------------------------------------------------


def test_there_is_something_to_check() -> None:
    assert len(python_files("src")) > 20
    assert len(tracked_files()) > 40
    assert any(within(path, *PURE_ROOMS) for path in python_files("src"))


def test_pure_rooms_are_pure() -> None:
    paths = [path for path in python_files("src") if within(path, *PURE_ROOMS) and not within(path, *IMPURE_PARTS)]
    assert_none(report(tidy.impurities, paths))


@pytest.mark.parametrize("package", EXTERNAL_OWNERS)
def test_each_engine_is_imported_by_its_room_alone(package: str) -> None:
    others = [path for path in python_files("src") if not within(path, *EXTERNAL_OWNERS[package])]
    assert_none(report(lambda source: tidy.imports_of(source, package), others))


def test_only_declared_dependencies_are_imported() -> None:
    declared = {normalised(re.split(r"[^\w.-]", line)[0]) for line in PROJECT["project"]["dependencies"]}
    installed = packages_distributions()
    provided = {name for name, owners in installed.items() if declared.intersection(map(normalised, owners))}
    allowed = {*sys.stdlib_module_names, "pagefault", *provided, *PARTS_OF_DECLARED}
    files = [path for path in python_files("src") if path != ROOT / DRIVER_OF_AN_EXTRA]
    plain = [path for path in files if not within(path, *ROOMS_OF_EXTRAS)]
    assert_none(report(lambda source: tidy.undeclared_imports(source, allowed), plain))
    with_extra = allowed | {"psycopg"}
    assert_none(report(lambda source: tidy.undeclared_imports(source, with_extra), [ROOT / DRIVER_OF_AN_EXTRA]))
    for room, packages in ROOMS_OF_EXTRAS.items():
        inside = [path for path in files if within(path, room)]
        assert inside, f"{room} is empty"
        assert_none(report(partial(tidy.undeclared_imports, declared=allowed | packages), inside))


def test_nothing_of_ours_is_imported_inside_a_function() -> None:
    assert_none(report(lambda source: tidy.inner_imports(source, "pagefault"), python_files(*SHIPPED)))


def test_modules_and_functions_are_short() -> None:
    assert_none(report(tidy.oversized, python_files(*SHIPPED)))


def test_broad_excepts_say_why() -> None:
    assert_none(report(tidy.unexplained_broad_excepts, python_files(*SHIPPED, "tests")))


def test_lint_and_type_exceptions_say_why() -> None:
    assert_none(report(tidy.unexplained_exceptions, python_files(*SHIPPED, "tests")))


def test_nothing_is_left_unfinished() -> None:
    assert_none(report(tidy.unfinished, tracked_texts()))


def test_no_registry_and_no_machine_is_named() -> None:
    assert_none(report(tidy.addresses, tracked_texts()))


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_names_versions_and_hashes(lock: str) -> None:
    assert_none(report(tidy.lock_addresses, [ROOT / lock]))


def test_files_are_fit_for_a_repository() -> None:
    files = [(path.relative_to(ROOT), path.read_bytes()) for path in tracked_files()]
    assert_none([f"{name}: {problem}" for name, content in files for problem in tidy.unfit_file(content)])


@pytest.mark.parametrize("link", LINKS)
def test_the_rooms_show_at_the_top(link: str) -> None:
    assert (ROOT / link).readlink() == Path(LINKS[link])
    assert (ROOT / link / "__init__.py").is_file()


def test_public_names_are_these() -> None:
    assert sorted(PUBLIC_NAMES) == PUBLIC_NAMES == pagefault.__all__
    assert_none([name for name in PUBLIC_NAMES if not hasattr(pagefault, name)])


def test_tests_mirror_modules() -> None:
    modules = [PurePosixPath(path.relative_to(PACKAGE)) for path in python_files("src")]
    modules += [PurePosixPath(path.relative_to(ROOT)) for path in python_files("benchmarks", "examples")]
    tests = [PurePosixPath(path.relative_to(ROOT / "tests")) for path in python_files("tests")]
    named = [test for test in tests if test.name.startswith("test_")]
    assert named
    assert_none([problem for test in named for problem in tidy.misplaced_test(test, modules, NOT_MIRRORS)])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("pagefault", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert sum(map(len, imports.values())) > 20
    assert_none(tidy.cycles(imports))


# --- the layers, by import-linter ------------------------------------------------------------------------


def lint_imports(source_root: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of pyproject.toml over a tree, in a process of its own: the linter imports the package."""
    script = "import sys; from importlinter.cli import lint_imports as lint; sys.exit(lint(sys.argv[1], no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "pyproject.toml")],
        cwd=source_root,
        env={**os.environ, "PYTHONPATH": str(source_root)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A tree with every module that the contracts name, all empty."""
    for contract in PROJECT["tool"]["importlinter"]["contracts"]:
        named = [*contract.get("source_modules", ()), *contract.get("layers", ())]
        for module in {each for line in named for each in line.split(" | ")}:
            folder = tmp_path.joinpath(*module.split("."))
            folder.mkdir(parents=True, exist_ok=True)
    for folder in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        (folder / "__init__.py").touch()
    return tmp_path


def test_layers_hold() -> None:
    done = lint_imports(ROOT / "src")
    assert done.returncode == 0, done.stdout


def test_empty_rooms_break_no_contract(rooms: Path) -> None:
    done = lint_imports(rooms)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("policies/contract", "import pagefault.runtime.values", "Imports point one way"),
        ("runtime/errors", "import pagefault.runtime.kernel", "Imports point one way"),
        ("runtime/kernel", "import pagefault.runtime.store", "Imports point one way"),
        ("runtime/kernel", "import asyncio", "The kernel is pure"),
        ("runtime/models", "import pagefault.runtime.store", "Imports point one way"),
        ("runtime/store", "import pagefault.runtime.host", "Imports point one way"),
        ("runtime/host", "import pagefault.cluster", "Imports point one way"),
        ("runtime/values", "import time", "The kernel is pure"),
        ("policies/eviction", "import random", "Policies are pure"),
        ("runtime/host", "import ray", "Only the cluster imports Ray"),
        ("cluster", "import qdrant_client", "Only the store imports Qdrant"),
        ("runtime/host", "import openai", "Only models and embedders import the OpenAI client"),
    ],
)
def test_a_wrong_import_breaks_its_contract(rooms: Path, module: str, line: str, contract: str) -> None:
    (rooms / "pagefault" / module / "__init__.py").write_text(line + "\n")
    done = lint_imports(rooms)
    assert done.returncode == 1
    assert re.search(rf"^{re.escape(contract)}.* BROKEN$", done.stdout, re.MULTILINE), done.stdout


# --- each checker can fail -------------------------------------------------------------------------------

BROAD = "try:\n    pass\nexcept Exception:{}\n    pass\n"
LONG = "def f():\n    1\n    1\n    1\n"
LONG_INSIDE = "class A:\n    async def f():\n        1\n        1\n        1\n"
LONG_BY_ITS_DOCSTRING = 'def f():\n    """One.\n\n    Two.\n    """\n    1\n    1\n'


def rays(source: str) -> list[str]:
    return tidy.imports_of(source, "ray")


def math_only(source: str) -> list[str]:
    return tidy.undeclared_imports(source, ["math"])


def inner_ours(source: str) -> list[str]:
    return tidy.inner_imports(source, "our")


def three_lines(source: str) -> list[str]:
    return tidy.oversized(source, lines_max=3)


def functions_of_three_lines(source: str) -> list[str]:
    return tidy.oversized(source, function_lines_max=3)


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (tidy.impurities, "import time", "import math"),
        (tidy.impurities, "import os.path", "import collections.abc"),
        (tidy.impurities, "def f():\n    from random import Random", "from re import compile"),
        (tidy.impurities, "from datetime import datetime\nx = datetime.now()", "from datetime import datetime"),
        (tidy.impurities, "x = datetime.datetime.utcnow()", "x = datetime.datetime.fromtimestamp(now_ms / 1000)"),
        (tidy.impurities, "with open('x'): pass", "page.open = 1"),
        (tidy.impurities, "seed = hash('x')", "def __hash__(self): ..."),
        (rays, "import ray.util", "import rayon"),
        (rays, "def f():\n    from ray import get", "from pagefault.cluster import ray"),
        (math_only, "import six", "import math"),
        (math_only, "from openai import OpenAI", "from math import pi"),
        (inner_ours, "def f():\n    import our.x", "import our.x"),
        (inner_ours, "async def f():\n    from our import x", "def f():\n    import ours"),
        (three_lines, "1\n" * 4, "1\n" * 3),
        (functions_of_three_lines, LONG, "def f():\n    1\n    1\n"),
        (functions_of_three_lines, LONG_INSIDE, LONG_BY_ITS_DOCSTRING),
        (tidy.unexplained_broad_excepts, BROAD.format(""), BROAD.format("  # a plug-in may raise anything")),
        (
            tidy.unexplained_broad_excepts,
            BROAD.format("  # noqa: BLE001"),
            BROAD.format("  # noqa: BLE001  # plug-ins"),
        ),
        (
            tidy.unexplained_broad_excepts,
            "try: 1\nexcept (OSError, BaseException): 2",
            "try: 1\n# last resort\nexcept: 2",
        ),
        (tidy.unexplained_broad_excepts, "try: 1\nexcept: 2", "try: 1\nexcept (OSError, ValueError): 2"),
        (
            tidy.unexplained_broad_excepts,
            BROAD.format("  # n/a"),
            BROAD.format("\n    # rolled back, then raised again"),
        ),
        (tidy.unexplained_exceptions, "x = 1  # type: ignore", "x = 1  # type: ignore[misc]  # the library is untyped"),
        (tidy.unexplained_exceptions, "x = 1  # type: ignore[misc]", "x = '# type: ignore'"),
        (tidy.unexplained_exceptions, "x = 1  # noqa: B008 -", "x = 1  # noqa: B008 - it is frozen"),
        (tidy.unexplained_exceptions, "x = 1  # noqa: B008 # x", "x = 1  # noqa: B008  frozen"),
        (tidy.unexplained_exceptions, "x = 1  # noqa", "x = 1  # noqa: E501  # a table"),
        (tidy.unexplained_exceptions, "x = 1  # noqa: E501, S101", "x = 1  # noqa: E501, S101  # a table of asserts"),
        (tidy.unfinished, "# TO" + "DO: more", "# to do more, ask"),
        (tidy.unfinished, "# FIX" + "ME", "# XX" + "XL"),
        (tidy.unfinished, '"""TBD."""', '"""The kernel."""'),
        (tidy.addresses, "index: https://pypi" + ".org/simple", "project.org"),
        (tidy.addresses, "files.pythonhosted" + ".org/packages", "pip's configuration"),
        (tidy.addresses, "registry.npmjs" + ".org", "npm"),
        (tidy.addresses, "cd /" + "work/main", "the /works/ of Shakespeare"),
        (tidy.addresses, "see /home/" + "someone/x", "${HOME}/work/x and ./work/"),
        (tidy.lock_addresses, "--index-url x", "# a comment"),
        (tidy.lock_addresses, "six @ file:///x/six.whl", "six==1.0 \\"),
        (tidy.lock_addresses, "six>=1.0", "    --hash=sha256:" + "0" * 64),
    ],
)
def test_a_source_checker_sees_the_bad_and_passes_the_good(
    check: Callable[[str], list[str]], bad: str, good: str
) -> None:
    assert len(check(bad)) == 1, "missed, or reported twice"
    assert check(good) == []


@pytest.mark.parametrize("content", [b"no newline", b"x" * 21 + b"\n"])
def test_unfit_files_are_seen(content: bytes) -> None:
    assert len(tidy.unfit_file(content, bytes_max=20)) == 1


@pytest.mark.parametrize("content", [b"", b"line\n", b"\0binary"])
def test_fit_files_pass(content: bytes) -> None:
    assert tidy.unfit_file(content, bytes_max=20) == []


def test_circles_are_seen() -> None:
    assert tidy.cycles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["e"]}) == ["a <-> b <-> c", "e"]
    assert tidy.cycles({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize(
    ("test", "problems"),
    [
        ("runtime/test_values.py", 0),
        ("runtime/test_values_order.py", 0),
        ("runtime/test_kernel.py", 0),
        ("property/test_anything.py", 0),
        ("test_tidy.py", 0),
        ("runtime/test_value.py", 1),
        ("test_values.py", 1),
        ("properties/test_values.py", 1),
        ("runtime/test_order_values.py", 1),
    ],
)
def test_misplaced_tests_are_seen(test: str, problems: int) -> None:
    modules = [PurePosixPath("runtime/values.py"), PurePosixPath("runtime/kernel/__init__.py")]
    assert len(tidy.misplaced_test(PurePosixPath(test), modules, ["property/", "test_tidy.py"])) == problems

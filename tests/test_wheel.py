"""The wheel, not the tree: built, installed somewhere else, imported and used from there."""

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from pagefault.policies.registry import EVICTION

ROOT = Path(__file__).resolve().parent.parent

IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
import pagefault
def failed(name):
    raise ImportError(name)
names = [each.name for each in pkgutil.walk_packages(pagefault.__path__, "pagefault.", onerror=failed)]
files = {name: importlib.import_module(name).__file__ for name in ["pagefault", *names]}
print(json.dumps(files))
"""
SMOKE = """
import json
from pagefault.policies.contract import PageFacts
from pagefault.policies.registry import make_fetch, make_policy, make_write_back, policy_names
left = {}
for name in policy_names():
    policy = make_policy(name)
    for turn in range(10):
        policy.on_insert(PageFacts(id=f"p{turn}", kind="message", tokens=10, importance=turn / 10), turn)
    policy.on_hit("p0", 10)
    woken = make_policy(name)
    woken.load(json.loads(json.dumps(policy.dump())))
    left[name] = list(woken.victims(30, {"p1"}, 11))
left["archive"] = make_write_back("archive").choose(PageFacts(id="p1", kind="message", tokens=10), 1)
left["neighbours"] = list(make_fetch("neighbours").companions("p5", 5, 1000))
print(json.dumps(left))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; its dependencies are lent by the environment of the tests."""
    home = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python))
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel), cwd=home)
    (packages,) = home.glob("lib/python*/site-packages")
    # A path lent like this is searched last, and the .pth files inside it (the tree's own one) are not read.
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home


def run(*command: str, cwd: Path) -> str:
    """The output of a program that must succeed, started without the tree on its path."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(installed: Path, script: str) -> Any:
    return json.loads(run(str(installed / "bin" / "python"), "-I", "-c", script, cwd=installed))


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = contents(wheel)
    packed = {name for name in names if ".dist-info/" not in name}
    tree = (ROOT / "src").rglob("*")
    assert packed == {
        str(path.relative_to(ROOT / "src")) for path in tree if path.is_file() and "__pycache__" not in path.parts
    }
    assert "pagefault/py.typed" in packed
    assert not [name for name in packed if "test_" in name or name.endswith((".pyc", ".toml", ".lock"))]
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = metadata(wheel)
    plain = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(plain) == len(declared["dependencies"])
    assert (said["Name"], said["Requires-Python"], said["License-Expression"]) == ("pagefault", ">=3.11", "Apache-2.0")
    assert set(said.get_all("Provides-Extra", [])) == set(declared["optional-dependencies"])


def test_every_module_is_imported_from_the_wheel(installed: Path) -> None:
    files = run_python(installed, IMPORT_EVERYTHING)
    modules = [path for path in (ROOT / "src").rglob("*.py") if path.name != "__main__.py"]
    assert len(files) == len(modules)
    assert [name for name, file in files.items() if not Path(file).is_relative_to(installed)] == []


def test_a_first_agent_answers(installed: Path) -> None:
    example = shutil.copy(ROOT / "examples" / "first_agent.py", installed)
    said = run(str(installed / "bin" / "python"), "-I", str(example), cwd=installed)
    assert said == "The key is under the third flowerpot.\n"


def test_the_command_is_installed(installed: Path) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = run(str(installed / "bin" / "pagefault"), "version", cwd=installed)
    assert f"pagefault {declared['version']}" in said


def test_the_policies_that_are_installed_work(installed: Path) -> None:
    found = run_python(installed, SMOKE)
    assert set(found) == {*EVICTION, "archive", "neighbours"}
    assert all(len(found[name]) >= 3 and "p1" not in found[name] for name in EVICTION), "30 tokens, 10 a page"
    told = {name: found[name] for name in ("archive", "fifo", "importance", "lru", "neighbours")}
    assert told == {
        "archive": "nothing",
        "fifo": ["p0", "p2", "p3"],
        "importance": ["p2", "p3", "p4"],
        "lru": ["p2", "p3", "p4"],
        "neighbours": [4, 6],
    }

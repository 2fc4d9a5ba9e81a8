"""The command line within the test's process: the same function that the console script calls."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from pagefault.cluster import _ray
from pagefault.cluster.console.main import main
from tests.cluster.driver import Driver

ROOT = Path(__file__).resolve().parents[3]
VILLAGE = (ROOT / "examples" / "village.toml").read_text().replace('kind = "cluster"', 'kind = "local"')


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    errors: str

    @property
    def error(self) -> str:
        """The one line that it wrote to standard error."""
        assert self.code != 0
        assert self.out == ""
        assert self.errors.endswith("\n")
        assert self.errors.count("\n") == 1, self.errors
        return self.errors.removesuffix("\n")


Pagefault = Callable[..., Ended]


@pytest.fixture
def pagefault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Pagefault]:
    """``pagefault ARGUMENTS``, run in an empty folder with nothing of OpenAI's in the environment."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["pagefault", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, errors = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, errors)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    yield run
    structlog.reset_defaults()  # the logger would go on writing to what was captured


@pytest.fixture
def village(tmp_path: Path) -> Callable[[str, str], str]:
    """A village's file with one text replaced by another."""

    def write(old: str = "", new: str = "") -> str:
        assert old in VILLAGE
        (tmp_path / "village.toml").write_text(VILLAGE.replace(old, new, 1) if old else VILLAGE)
        return "village.toml"

    return write


@dataclass(frozen=True)
class Living:
    """A fleet that a driver of its own runs: ``ada`` has spoken, ``lost`` has written to nobody, others sleep."""

    folder: Path
    driver: Driver

    def __call__(self, request: str, **arguments: object) -> object:
        return asyncio.run(self.driver(request, **arguments))


@pytest.fixture(scope="module")
def living(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    place = tmp_path_factory.mktemp("living")
    with Driver(place, errors=place / "errors") as driver:
        fleet = Living(place / "fleet", driver)
        fleet("start", folder=str(fleet.folder), name="living", address=_ray.gcs_address(), embedder="hash", hosts=1)
        for name in ("ada", *(f"asleep-{number}" for number in range(5))):
            fleet("spawn", name=name, model="scripted:tests.cluster.minds:echo")
        fleet("spawn", name="lost", model="scripted:tests.cluster.minds:caller", functions=["all"])
        fleet("ask", agent="ada", message="hello")
        fleet("ask", agent="lost", message="nobody")
        fleet("subscribe", agent="ada", topic="weather")
        yield fleet

"""Files of one folder, through the functions as a model calls them: nothing outside is read or written."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.executor import run_function
from pagefault.runtime.functions.packs.files import READ_CHARS, files
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.kernel.functions import CallProblem

SECRET = "what nobody may read"


class Pack:
    """The functions, called as a host calls them."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.registry = Registry()
        for each in files(folder, writable=True, **limits):
            self.registry.add(each)
        self.table = self.registry.table([f"files_{name}" for name in ("list", "read", "search", "write")])

    async def __call__(self, name: str, **arguments: object) -> tuple[str, str]:
        try:
            checked, _ = self.table.check(f"files_{name}", json.dumps(arguments))
        except CallProblem as problem:
            return "failed", str(problem)
        return await run_function(self.table.definition(f"files_{name}"), json.dumps(checked))


def box(folder: Path) -> Path:
    (folder / "outside.txt").write_text(SECRET)
    (folder / "inside").mkdir()
    return folder / "inside"


async def test_files_are_written_listed_read_and_found(tmp_path: Path) -> None:
    pack = Pack(box(tmp_path))
    assert (await pack("list")) == ("ok", "(empty)")
    assert (await pack("write", path="notes/a.txt", text="one\nTwo herons\n"))[0] == "ok"
    assert (await pack("write", path="notes/a.txt", text="x"))[0] == "failed"
    assert (await pack("write", path="notes/a.txt", text="three", mode="append")) == (
        "ok",
        "notes/a.txt has 20 bytes now.",
    )
    assert (await pack("read", path="notes/a.txt")) == ("ok", "one\nTwo herons\nthree")
    assert (await pack("search", words="HERON")) == ("ok", "notes/a.txt:2: Two herons")
    assert (await pack("search", words="heron", path="notes")) == ("ok", "notes/a.txt:2: Two herons")
    assert (await pack("list")) == ("ok", "notes/")
    assert (await pack("list", path="notes")) == ("ok", "a.txt (20 bytes)")
    await pack("write", path="long.txt", text="x" * (READ_CHARS + 5))
    assert (await pack("read", path="long.txt"))[1].endswith(f"[5 more characters; read on with start={READ_CHARS}]")
    assert (await pack("read", path="long.txt", start=READ_CHARS)) == ("ok", "xxxxx")


async def test_links_pipes_and_devices_lead_nowhere(tmp_path: Path) -> None:
    inside = box(tmp_path)
    (inside / "link.txt").symlink_to(tmp_path / "outside.txt")
    (inside / "up").symlink_to(tmp_path)
    os.link(tmp_path / "outside.txt", inside / "hard.txt")
    os.mkfifo(inside / "pipe")
    pack = Pack(inside)
    for path in ("link.txt", "up/outside.txt", "hard.txt", "pipe"):
        status, text = await pack("read", path=path)
        assert status == "failed", path
        assert SECRET not in text
        assert str(tmp_path) not in text
    assert (await pack("search", words="nobody")) == ("ok", "(nothing found)")
    for path in ("up/new.txt", "link.txt", "hard.txt"):
        assert (await pack("write", path=path, text="x", mode="replace"))[0] == "failed"
    assert (tmp_path / "outside.txt").read_text() == SECRET
    assert not (tmp_path / "new.txt").exists()


async def test_what_is_no_text_or_too_much_is_refused(tmp_path: Path) -> None:
    inside = box(tmp_path)
    (inside / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (inside / "big.txt").write_text("x" * 200)
    pack = Pack(inside, file_bytes_max=100, total_bytes_max=400, files_max=6)
    assert "no text" in (await pack("read", path="picture.png"))[1]
    assert "more than 100 bytes" in (await pack("read", path="big.txt"))[1]
    assert "allowed: 100" in (await pack("write", path="a.txt", text="x" * 101))[1]
    assert (await pack("write", path="a.txt", text="x" * 100))[0] == "ok"
    assert "bytes are used" in (await pack("write", path="b.txt", text="x" * 100))[1]
    assert "files and folders" in (await pack("write", path="a/b/c/d.txt", text="x"))[1]
    assert sorted(each.name for each in inside.iterdir()) == ["a.txt", "big.txt", "picture.png"]


def test_settings_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"files\.folder"):
        files(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"files\.files_max"):
        files(tmp_path, files_max=0)
    assert [each.__name__ for each in files(tmp_path)] == ["files_list", "files_read", "files_search"]
    assert all(each.definition.capabilities == ("sees_untrusted",) for each in files(tmp_path))  # type: ignore[attr-defined]  # of the decorator


NAMES = st.sampled_from(
    ["..", ".", "", "outside.txt", "inside", "a", "up", "%2e%2e", "\uff0e\uff0e", "..\\", "\0", "~", "c:", " "]
) | st.text(max_size=4)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, max_size=6).map("/".join) | st.just("/etc/hostname") | st.text(max_size=12))
async def test_no_path_leads_out(path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inside = box(folder)
        (inside / "up").symlink_to(folder)
        pack = Pack(inside)
        before = names_in(folder)
        for call in (pack("read", path=path), pack("list", path=path), pack("search", words="nobody", path=path)):
            _, text = await call
            assert SECRET not in text
        await pack("write", path=path, text="x", mode="replace")
        assert names_in(folder) == before
        assert (folder / "outside.txt").read_text() == SECRET

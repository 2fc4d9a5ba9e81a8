"""What docs/messages.md shows is run, and its figures are held to the code."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from pagefault.runtime.functions.builtin.messaging import CALL_TIMEOUT_SECONDS
from pagefault.runtime.functions.builtin.topics import TOPIC_CHARS_MAX
from pagefault.runtime.host.groups import Groups
from pagefault.runtime.host.routing import ATTEMPTS_MAX
from pagefault.runtime.kernel.settings import ChainSettings
from pagefault.runtime.store.mail import LETTERS_MAX, TOPICS_MAX

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "messages.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_examples_run(tmp_path: Path) -> None:
    first, letters, virtual = BLOCKS
    script = tmp_path / "example.py"
    script.write_text(first + virtual)
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "store answers: 5 of nails" in ran.stdout
    assert "fleet.dead_letters(" in letters


def test_every_method_of_groups_is_explained() -> None:
    methods = [
        name for name in vars(Groups) if not name.startswith("_") and asyncio.iscoroutinefunction(vars(Groups)[name])
    ]
    assert len(methods) > 6
    assert [name for name in methods if f"fleet.{name}(" not in TEXT] == []


def test_figures_are_those_of_the_code() -> None:
    told = [
        f"has 1 to {TOPIC_CHARS_MAX} letters",
        f"at most {TOPICS_MAX} topics",
        f"keeps {LETTERS_MAX:,}",
        f"does, {ATTEMPTS_MAX} times",
        f"`timeout_seconds` ({CALL_TIMEOUT_SECONDS})",
        f"passed through {ChainSettings().hops_max} goes no further",
    ]
    flat = " ".join(TEXT.split())
    assert [each for each in told if each not in flat] == []

"""Logs are one JSON object a line off a terminal, say whose they are, and do no harm on one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from pagefault.cluster.console.logs import configure_logging
from pagefault.runtime.errors import ModelRefused
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.secrecy import forget_secrets, learn_secrets
from pagefault.runtime.models.scripted import Reply, mind
from pagefault.runtime.values import ModelRequest

HOSTILE = "no\x1b[2J\u202e way\nfake line"


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    forget_secrets()


@mind("logs_refuser")
async def refuser(request: ModelRequest) -> Reply:
    raise ModelRefused(HOSTILE)


async def test_a_line_says_whose_it_is_though_whoever_logs_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    async with Local(embedder="hash") as fleet:
        agent = await fleet.spawn(Agent("ada", model="scripted:logs_refuser"))
        await fleet.answer(agent.id, "hello")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = next(line for line in lines if line["event"] == "model_failed")
    assert (failed["agent"], failed["epoch"], failed["level"]) == ("ada", 1, "warning")
    assert failed["cause"].startswith("user-")
    assert HOSTILE in failed["problem"]
    assert failed["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "console"])
def test_escape_codes_stay_words_and_secrets_stay_out(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", form)  # type: ignore[arg-type]  # the parameter of a test is any text
    learn_secrets(["the-launch-code"])
    structlog.get_logger("test").warning("said", words=HOSTILE, code="the-launch-code")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(written)
    assert "the-launch-code" not in written

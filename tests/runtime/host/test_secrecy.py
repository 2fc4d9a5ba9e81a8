"""Secrets are planted wherever words enter a fleet, and looked for in everything that it leaves behind."""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host import config, secrecy
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.recording import recordings
from pagefault.runtime.host.secrecy import forget_secrets, learn_secrets, redacted
from pagefault.runtime.host.upkeep.transfer import export_agents
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import Reply, call, mind, say
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.models.view import View
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

SECRETS = {name: f"canary-{name}-7f3a" for name in ("setting", "result", "error", "heard", "observed", "document")}
SECRETS |= {name: f"canary-{name}-7f3a" for name in ("argument", "said", "system", "persona", "log", "trace", "letter")}
SECRETS |= {"quoted": 'canary-"quoted"\\7f3a', "variable": "canary-variable-7f3a", "named": "canary-named-7f3a"}
SHAPES = {
    "header": ("Authorization: Bearer {}", "canaryheaderabcdefgh"),
    "url": ("https://bob:{}@example.org/", "canaryurl"),
    "openai": ("key {}", "sk-canaryopenai0123456789"),
    "github": ("key {}", "ghp_canarygithub0123456789abcdefghijk"),
    "aws": ("key {}", "AKIACANARYAWS0123456"),
    "slack": ("key {}", "xoxb-canaryslack-0123"),
}
CANARIES = [*SECRETS.values(), *(value for _, value in SHAPES.values())]


@function(effect="pure")
def fetch_key(hint: str) -> str:
    """Give a key away.

    Args:
        hint: Which.
    """
    if hint == "fail":
        raise RuntimeError(f"login failed with {SECRETS['error']} and {SECRETS['quoted']}")
    return f"{SECRETS['result']} {SECRETS['quoted']} {hint}"


@mind("test-blabs")
def blabs(request: ModelRequest) -> Reply:
    """Repeats whatever it sees."""
    view = View(request)
    done = len(view.results)
    if done < 2:
        return call("fetch_key", True, hint="fail" if done else SECRETS["argument"])
    return say(f"{SECRETS['said']} {request.messages[-1].text}")


@pytest.fixture(autouse=True)
def unknown() -> Iterator[None]:
    before = structlog.get_config()
    forget_secrets()
    yield
    forget_secrets()
    structlog.configure(**before)


async def _live(folder: Path) -> None:
    given: list[str | SecretStr] = [
        SecretStr(SECRETS["setting"]),
        *(SECRETS[name] for name in SECRETS if name not in ("variable", "named")),
    ]
    async with Local(folder, functions=[fetch_key], embedder="hash", secrets=given) as fleet:
        ada = await fleet.spawn(
            Agent(
                "ada",
                model="scripted:test-blabs",
                functions=("send_message", "fetch_key"),
                system=f"You know {SECRETS['system']}.",
                persona=f"I am {SECRETS['persona']}.",
            )
        )
        shaped = " ".join(text.format(value) for text, value in SHAPES.values())
        words = (SECRETS["setting"], SECRETS["heard"], SECRETS["variable"], SECRETS["named"], shaped)
        await ada.ask(" ".join(words))
        for kind in (InterruptKind.OBSERVATION, InterruptKind.DOCUMENT):
            name = "observed" if kind is InterruptKind.OBSERVATION else "document"
            await fleet.ask("ada", Interrupt(InterruptId(name), kind, Priority.WORLD, "world", f"see {SECRETS[name]}"))
        lost = Interrupt(InterruptId("lost"), InterruptKind.MESSAGE, Priority.USER, "user", SECRETS["letter"])
        await fleet._post().to_all([AgentId("nobody")], lost)
        assert await fleet.dead_letters()
        await fleet.idle()
        log = structlog.get_logger("test")
        log.warning("key_used", key=SECRETS["log"], all=[SECRETS["log"]])
        log.warning("it_broke", exc_info=RuntimeError(SECRETS["trace"]))


def _exported(folder: Path) -> str:
    """What `pagefault store export` and `pagefault lab record` take out of the folder."""
    journal = SqliteJournal(folder / "shards" / "00" / "journal.sqlite")
    try:
        export_agents([journal], folder.parent / "export.gz", "", lambda _: None)
    finally:
        journal.close()
    registry = Registry()
    registry.add(fetch_key)
    traces = [
        repr(recording) for recording in recordings(folder, Workshop(registry, BpeTokenCounter(), make_processor))
    ]
    assert traces
    exported = gzip.decompress((folder.parent / "export.gz").read_bytes()).decode(errors="replace")
    assert "fetch_key" in exported
    return "\n".join([exported, *traces])


def _left_behind(folder: Path, logged: str) -> str:
    files = b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    return files.decode(errors="replace") + logged


def _found(left: str) -> set[str]:
    return {canary for canary in CANARIES if canary in left or canary.replace("\\", "\\\\").replace('"', '\\"') in left}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRETS["variable"])
    monkeypatch.setenv("SHOP_PIN", SECRETS["named"])
    monkeypatch.setenv("PAGEFAULT_SECRETS", "OTHER, SHOP_PIN")
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stdout), processors=structlog.get_config()["processors"]
    )


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("is_on", [True, False])
def test_no_canary_is_left_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_on: bool
) -> None:
    if not is_on:  # or nothing could be found for another reason
        for module in (secrecy, config):
            monkeypatch.setattr(module, "redacted", lambda text: text)
    assert len(CANARIES) >= 20
    asyncio.run(_live(tmp_path / "kept"))
    out = capsys.readouterr()
    exported = _exported(tmp_path / "kept")
    found = _found(_left_behind(tmp_path, out.out + out.err + exported))
    if not is_on:
        assert _found(exported) >= {SECRETS["result"], SECRETS["heard"], SECRETS["system"]}
    assert found == (set() if is_on else set(CANARIES))


def test_what_is_no_secret_is_left_alone() -> None:
    learn_secrets(["short", "a long secret"], {"HOME": "/home/somebody", "A_KEY": "12345678"})
    text = "short, /home/somebody, https://example.org/a:b, ask-me-anything, bearer of news, ghosts"
    assert redacted(text) is text
    assert redacted("a long secret, 12345678") == "[secret], [secret]"


@given(st.text(), st.text(min_size=8), st.text())
def test_a_secret_is_found_between_any_words(before: str, secret: str, after: str) -> None:
    forget_secrets()
    if len(secret.strip()) >= secrecy.SECRET_CHARS_MIN:
        learn_secrets([secret], {})
        assert secret.strip() not in redacted(f"{before}{secret}{after}").replace(secrecy.HIDDEN, "")
    forget_secrets()

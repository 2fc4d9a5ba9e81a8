"""What is found out before a run: which model a server has, and what the command line's names mean."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pagefault.cluster.console.check import check_agent, chosen_model, served_model
from pagefault.runtime.errors import ConfigError, ContextTooSmall, ModelRefused, ModelUnavailable
from pagefault.runtime.host.config import Agent
from pagefault.runtime.testing.fake_openai import FakeOpenAI, busy

SCRIPTED = {"model": "scripted:somebody", "model_options": {"latency_ms": 5}}
SERVED = {"model": "openai:big", "model_options": {"temperature": 0.5, "base_url": "http://old/v1"}}


@contextmanager
def server_with(*names: str, listing: object = None) -> Iterator[str]:
    body = json.dumps(listing if listing is not None else {"data": [{"id": name} for name in names]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v1/models" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


async def test_the_only_model_of_a_server_is_taken() -> None:
    with server_with("only") as address:
        assert await served_model(address + "/") == "only"


async def test_of_several_models_one_must_be_named() -> None:
    with server_with("one", "two") as address, pytest.raises(ConfigError, match=r"one of the 2 models .*: one, two$"):
        await served_model(address)


@pytest.mark.parametrize("listing", [{"data": []}, [], {"data": "many"}, {"data": [{"name": "x"}, 5]}])
async def test_a_server_that_does_not_say_what_it_has(listing: object) -> None:
    with server_with(listing=listing) as address, pytest.raises(ConfigError, match="does not say which it has"):
        await served_model(address)


async def test_servers_that_do_not_list() -> None:
    with FakeOpenAI(api_key="right") as server, pytest.raises(ModelRefused, match="401"):
        await served_model(server.base_url)
    with pytest.raises(ModelUnavailable, match="cannot reach"):
        await served_model(server.base_url)
    with pytest.raises(ConfigError, match="an address such as"):
        await served_model("ftp://somewhere")


@pytest.mark.parametrize(
    ("table", "model", "address", "changes"),
    [
        (SCRIPTED, None, None, {}),
        (SCRIPTED, "big", None, {"model": "openai:big", "model_options": {}}),
        (SCRIPTED, "qwen3:8b", "http://a/v1", {"model": "openai:qwen3:8b", "model_options": {"base_url": "http://a/v1"}}),
        (SCRIPTED, "scripted:x", None, {"model": "scripted:x", "model_options": {"latency_ms": 5}}),
        (SERVED, None, "http://a/v1", {"model_options": {"temperature": 0.5, "base_url": "http://a/v1"}}),
        (SERVED, "small", None, {"model": "openai:small", "model_options": SERVED["model_options"]}),
        (SERVED, "scripted:x", None, {"model": "scripted:x", "model_options": {}}),
        ({}, "unknown:x", None, {"model": "unknown:x", "model_options": {}}),
    ],
)  # fmt: skip
async def test_what_the_command_line_changes(
    table: dict[str, Any], model: str | None, address: str | None, changes: dict[str, Any]
) -> None:
    assert await chosen_model(table, model, address) == changes


async def test_an_address_alone_takes_the_model_of_its_server() -> None:
    with server_with("only") as address:
        changes = await chosen_model(SCRIPTED, None, address)
    assert changes == {"model": "openai:only", "model_options": {"base_url": address}}


async def test_a_busy_server_is_there() -> None:
    with FakeOpenAI([busy(retry_after="3600")]) as server:
        await check_agent(Agent("ada", model="openai:x", model_options={"base_url": server.base_url}))
    assert len(server.requests) == 1


async def test_the_summarizer_is_asked_too() -> None:
    with FakeOpenAI() as server:
        options = {"base_url": server.base_url}
        await check_agent(Agent("ada", model="openai:x", summarizer="openai:y", model_options=options))
        await check_agent(Agent("bob", model="openai:x", summarizer="openai:x", model_options=options))
    assert [request.body["model"] for request in server.requests] == ["x", "y", "x"]


async def test_settings_are_called_what_people_call_them() -> None:
    with pytest.raises(ContextTooSmall, match=r"^context_tokens: found 300"):
        await check_agent(Agent("ada", context_tokens=300, reply_tokens=30))
    with pytest.raises(ConfigError, match=r"^mailbox_max: found 0"):
        await check_agent(Agent("ada", mailbox_max=0))

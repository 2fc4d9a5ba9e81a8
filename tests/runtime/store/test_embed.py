"""Embedders: unit vectors, near for texts that are alike; and a real HTTP server for the remote one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault import Agent
from pagefault.runtime.errors import (
    ConfigError,
    EmbeddingMismatch,
    ModelBusy,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
    UnknownName,
)
from pagefault.runtime.host.local import Local
from pagefault.runtime.store.embed import HashEmbedder, WordLlamaEmbedder, make_embedder
from pagefault.runtime.store.embed_endpoint import OpenAIEmbedder
from pagefault.runtime.store.protocols import Embedder
from pagefault.runtime.testing.fake_openai import FakeOpenAI

LOCAL: list[Embedder] = [HashEmbedder(), HashEmbedder(7), WordLlamaEmbedder(), WordLlamaEmbedder(64)]


@pytest.mark.parametrize("embedder", LOCAL, ids=lambda embedder: str(embedder.name))
@given(texts=st.lists(st.text(), max_size=4))
def test_rows_have_length_1_or_are_zeros_and_repeat(embedder: Embedder, texts: list[str]) -> None:
    rows = embedder.embed(texts)
    assert rows.shape == (len(texts), embedder.dimension)
    assert rows.dtype == np.float32
    assert all(length == pytest.approx(1.0, abs=1e-5) or length == 0.0 for length in np.linalg.norm(rows, axis=1))
    np.testing.assert_array_equal(rows, embedder.embed(texts))
    for row, text in zip(rows, texts, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], row, atol=1e-6)


@pytest.mark.parametrize("embedder", LOCAL, ids=lambda embedder: str(embedder.name))
def test_blank_texts_are_zeros(embedder: Embedder) -> None:
    assert not embedder.embed(["", " ?! "]).any()


@pytest.mark.parametrize("embedder", LOCAL[2:], ids=lambda embedder: str(embedder.name))
def test_wordllama_knows_what_is_alike(embedder: Embedder) -> None:
    asked, alike, other = embedder.embed(["a car accident", "the vehicle crashed", "flowers in the garden"])
    assert asked @ alike > asked @ other + 0.2


def test_hash_knows_shared_words_only() -> None:
    asked, shared, other = HashEmbedder(512).embed(["the ferry crosses", "ferries cross", "a boat passes"])
    assert asked @ shared > 0.5 > asked @ other


@pytest.mark.parametrize(
    ("name", "kind", "dimension"),
    [
        ("wordllama", "wordllama-256", 256),
        ("wordllama-128", "wordllama-128", 128),
        ("hash", "hash-64", 64),
        ("hash-9", "hash-9", 9),
    ],
)
def test_embedders_by_name(name: str, kind: str, dimension: int) -> None:
    made = make_embedder(name)
    assert (made.name, made.dimension) == (kind, dimension)


def test_remote_embedders_by_name() -> None:
    made = make_embedder("openai:text-embedding-3-small", api_key="k")
    assert (made.name, made.dimension) == ("openai:text-embedding-3-small", 1536)
    assert make_embedder("openai:nomic", base_url="http://localhost:1/v1", dimension=768).dimension == 768


def test_names_and_settings_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UnknownName, match="no embedder is called 'word2vec'; there are: wordllama"):
        make_embedder("word2vec")
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: make_embedder("wordllama-100"), "embedder.dimension: found 100, allowed: 64, 128 or 256"),
        (
            lambda: make_embedder("wordllama", base_url="http://x"),
            "embedder.base_url: found 'http://x', allowed: nothing",
        ),
        (
            lambda: make_embedder("openai:nomic", api_key="k"),
            "embedder.dimension: found 0, allowed: the length",
        ),
        (lambda: make_embedder("openai:text-embedding-3-small"), "embedder.api_key: found '', allowed: a key"),
        (lambda: HashEmbedder(0), "embedder.dimension: found 0"),
        (lambda: OpenAIEmbedder("m", 0, base_url="http://x"), "embedder.dimension: found 0"),
        (lambda: OpenAIEmbedder("m", 2, base_url="http://x", attempts=0), "embedder.attempts: found 0"),
    ]
    for make, said in wrong:
        with pytest.raises(ConfigError, match=said):
            make()


# --- a server that speaks the protocol, and can misbehave ----------------------------------------------

Answer = tuple[int, dict[str, str], bytes]


def vectors(texts: list[str]) -> dict[str, Any]:
    """A vector of each text's length and place, in reverse order, as the protocol allows."""
    items = [
        {"object": "embedding", "index": at, "embedding": [float(len(text)), 1.0]} for at, text in enumerate(texts)
    ]
    return {"object": "list", "model": "m", "data": items[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def well(request: dict[str, Any]) -> Answer:
    return 200, {}, json.dumps(vectors(request["input"])).encode()


@contextmanager
def server(*answers: Callable[[dict[str, Any]], Answer]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serves each answer once, the last one for ever; yields its address and the requests it got."""
    requests: list[dict[str, Any]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is http.server's
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            requests.append({**body, "path": self.path, "authorization": self.headers["authorization"]})
            status, headers, content = (left.pop(0) if len(left) > 1 else left[0])(body)
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/v1", requests
        finally:
            listening.shutdown()
            thread.join()


def remote(url: str, pauses: list[float] | None = None, **settings: Any) -> OpenAIEmbedder:
    sleep = (pauses if pauses is not None else []).append
    return OpenAIEmbedder("m", 2, base_url=url, api_key="sk-secret-1", sleep=sleep, **settings)


def status(code: int, message: str = "no", **headers: str) -> Callable[[dict[str, Any]], Answer]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (code, named, json.dumps({"error": {"message": message}}).encode())


def body(content: bytes, kind: str = "application/json") -> Callable[[dict[str, Any]], Answer]:
    return lambda _: (200, {"content-type": kind}, content)


def test_rows_are_in_order_scaled_and_sent_in_batches_without_blanks() -> None:
    texts = ["abc", "", "ab\ud800", " ", "a"]
    with server(well) as (url, requests):
        rows = remote(url, batch=2).embed(texts)
    lengths = np.array([3.0, 0.0, 3.0, 0.0, 1.0])
    expected = np.stack([lengths, lengths > 0], axis=1)
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert [request["input"] for request in requests] == [["abc", "ab?"], ["a"]]
    assert requests[0]["path"] == "/v1/embeddings"
    assert requests[0]["authorization"] == "Bearer sk-secret-1"
    assert remote(url).embed([]).shape == (0, 2)


def test_a_busy_or_failing_server_is_asked_again() -> None:
    pauses: list[float] = []
    with server(status(429, retry_after="2"), status(503), status(500, retry_after="soon"), well) as (url, requests):
        remote(url, pauses).embed(["a"])
    assert len(requests) == 4
    assert pauses == [2.0, 1.0, 2.0]


def test_it_gives_up_and_does_not_wait_for_ever() -> None:
    pauses: list[float] = []
    with server(status(429, retry_after="86400")) as (url, requests), pytest.raises(ModelBusy) as caught:
        remote(url, pauses, attempts=3).embed(["a"])
    assert len(requests) == 3
    assert pauses == [20.0, 20.0]
    assert (caught.value.status, caught.value.attempts, caught.value.retry_after_ms) == (429, 3, 86_400_000)


def test_a_refusal_is_final_and_hides_the_key() -> None:
    with server(status(401, "bad key sk-secret-1")) as (url, requests), pytest.raises(ModelRefused) as caught:
        remote(url).embed(["a"])
    assert len(requests) == 1
    assert "sk-secret-1" not in str(caught.value)
    assert "openai:m at 127.0.0.1: 401" in str(caught.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with server(well) as (url, _):
        pass
    with pytest.raises(ModelUnavailable, match=r"openai:m at 127\.0\.0\.1: cannot be reached"):
        remote(url, attempts=2).embed(["a"])


@pytest.mark.parametrize(
    "answer",
    [
        body(b"{not json"),
        body(b"<html>welcome</html>", "text/html"),
        body(b'{"object": "list"}'),
        body(b'{"data": []}'),
        body(b'{"data": [{"index": 0}]}'),
        body(b'{"data": [{"index": 0, "embedding": "abc"}]}'),
        body(b'{"data": [{"index": 0, "embedding": [1.0, NaN]}]}'),
    ],
)
def test_answers_that_are_no_vectors(answer: Callable[[dict[str, Any]], Answer]) -> None:
    with server(answer) as (url, requests), pytest.raises(ModelMalformed, match="openai:m at"):
        remote(url, attempts=2).embed(["a"])
    assert len(requests) == 2


def test_vectors_of_another_length_are_a_mismatch() -> None:
    with server(body(b'{"data": [{"index": 0, "embedding": [1.0, 2.0, 3.0]}]}')) as (url, requests):
        with pytest.raises(EmbeddingMismatch, match=r"vectors have 3 numbers, 2 were configured"):
            remote(url).embed(["a"])
        assert len(requests) == 1


def test_a_name_may_say_where_the_model_is_and_how_long_its_vectors_are() -> None:
    with FakeOpenAI(dimension=48) as server:
        asked = make_embedder(f"openai:nomic@{server.base_url}")
        told = make_embedder(f"openai:@cf/baai/bge@{server.base_url}#48")
        assert (asked.name, asked.dimension) == ("openai:nomic", 48)
        assert (told.name, told.dimension) == ("openai:@cf/baai/bge", 48)
        assert told.embed(["a", "b"]).shape == (2, 48)
    with pytest.raises(ConfigError, match=r"embedder\.dimension"):
        make_embedder("openai:nomic#0", api_key="k")


async def test_a_fleet_finds_by_any_endpoint_and_refuses_another_length_naming_both(tmp_path: Path) -> None:
    async def keep(server: FakeOpenAI) -> None:
        async with Local(tmp_path, embedder=f"openai:nomic@{server.base_url}") as fleet:
            ref = await fleet.spawn(Agent("ann"))
            await ref.ask("the tea is green")

    with FakeOpenAI(dimension=48) as server:
        await keep(server)
        await keep(server)
    with FakeOpenAI(dimension=32) as other, pytest.raises(EmbeddingMismatch, match=r"openai:nomic \(48.*\(32\)"):
        await keep(other)

"""The pack as an operator sets it up, and as an agent uses it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import pagefault
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.packs.http import READ_CHARS, http
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest
from tests.runtime.functions.packs.web import HERE, NAME, Names, Web, answer, pack_of

PAGE = "<html><body><h1>Herons</h1><p>They <b>stand</b>. <a href='/more'>More</a></body></html>"
NETWORKED = {"socket", "ssl", "httpx2", "httpcore2", "httpx", "urllib.request", "http.client", "aiohttp", "requests"}
FUNCTIONS = Path(pagefault.__file__).parent / "runtime" / "functions"
READ: list[str] = []


def reader(request: ModelRequest) -> Reply:
    """Reads the address that it is told, and says what it has read."""
    view = View(request)
    if view.result is not None:
        READ.append(request.messages[-1].text)
        return say(view.result.text)
    assert view.incoming is not None
    return call("http_get", heartbeat=True, url=view.incoming.text)


async def test_a_page_is_read_a_part_at_a_time() -> None:
    long = "".join(f"line {number}\n" for number in range(4_000))
    answers = {
        "/": answer(PAGE, "text/html; charset=utf-8"),
        "/long": answer(long),
        "/json": answer('{"a": [1, 2]}', "application/json"),
        "/missing": answer("<h1>Not here</h1>", "text/html", "404 Not Found"),
        "/lost": answer(b"\x89PNG", "image/png", "410 Gone"),
        "/empty": answer(b"", status="204 No Content").replace(b"content-length: 0\r\n", b""),
        "/picture": answer(b"\x89PNG", "image/png"),
        "/untyped": answer("x").replace(b"content-type: text/plain\r\n", b""),
        "/latin": answer("gr\u00fcn".encode("latin-1"), "text/plain; charset=iso-8859-1"),
    }
    async with Web(answers) as web:
        pack = pack_of(web)
        assert await pack.get(web.url()) == (
            "ok",
            f"[200 {web.url()} text/html, its words]\nHerons\nThey stand. More (/more)",
        )
        _, first = await pack.get(web.url("/long"))
        assert first.endswith(f"\n[{len(long) - READ_CHARS} more characters; read on with start={READ_CHARS}]")
        parts, start = [], 0
        while start < len(long):
            _, text = await pack.get(web.url("/long"), start=start)
            parts.append(text.partition("\n")[2][:READ_CHARS])
            start += READ_CHARS
        assert "".join(parts).strip() == long.strip()
        assert (await pack.get(web.url("/long"), start=10**9))[0] == "ok"
        assert (await pack.get(web.url("/json")))[1].endswith('application/json]\n{"a": [1, 2]}')
        assert (await pack.get(web.url("/missing")))[1].startswith(f"[404 {web.url('/missing')} text/html, its words]")
        assert (await pack.get(web.url("/lost")))[1] == f"[410 {web.url('/lost')} image/png]"
        assert (await pack.get(web.url("/empty")))[1].startswith("[204 ")
        assert (await pack.get(web.url("/latin")))[1].endswith("gr\u00fcn")
        for path, kind in (("/picture", "'image/png'"), ("/untyped", "''")):
            status, text = await pack.get(web.url(path))
            assert (status, f"is of the type {kind}, allowed: text, JSON and XML" in text) == ("failed", True), path


async def test_an_agent_reads_the_web_and_its_past_is_replayed_without_it(tmp_path: Path) -> None:
    async with Web({"/": answer(PAGE, "text/html")}) as web:
        settings: dict[str, Any] = {
            "networks": [f"{HERE}/32"],
            "resolver": Names({NAME: [[HERE]], "in": [["10.0.0.1"]]}),
        }
        functions = http([f"http://{NAME}:{web.port}", "in"], **settings)
        async with Local(tmp_path, embedder="hash", functions=functions) as fleet:
            agent = Agent("ada", model=f"scripted:{__name__}:reader", functions=("send_message", "http_get"))
            ada = await fleet.spawn(agent)
            assert "They stand. More (/more)" in await ada.ask(web.url())
            assert "'in' leads into a private or special network" in await ada.ask("https://in/")
            assert "allowed: only http://docs.example.com" in await ada.ask("https://evil.example/")
            assert "<data>" in READ[0], "it is shown as somebody else's words"
            digest = (await ada.inspect()).digest
        assert len(web.seen) == 1
        READ.clear()
    async with Local(tmp_path, embedder="hash", functions=functions) as fleet:
        assert (await fleet.agent("ada").inspect()).digest == digest
        assert (await fleet.replay_run()).is_exact


def test_functions_are_those_that_were_asked_for_and_say_what_they_do() -> None:
    assert [each.__name__ for each in http(["example.com"])] == ["http_get"]
    both = http(["example.com"], methods=["POST", "GET"], timeout_ms=1_000)
    definitions = [each.definition for each in both]  # type: ignore[attr-defined]  # of the decorator
    assert [(each.name, str(each.effect)) for each in definitions] == [
        ("http_get", "idempotent"),
        ("http_post", "once"),
    ]
    assert all(each.capabilities == ("sees_untrusted", "sends_out") for each in definitions)
    assert all(each.timeout_ms > 1_000 for each in definitions)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allow": []}, r"http\.allow: found \[\], allowed: one host or more"),
        ({"allow": ["ftp://example.com"]}, r"http\.allow\[0\]"),
        ({"methods": []}, r"http\.methods: found"),
        ({"methods": ["GET", "PUT"]}, r"http\.methods\[1\]: found 'PUT', allowed: GET or POST"),
        ({"networks": ["10.1"]}, r"http\.networks\[0\]"),
        ({"timeout_ms": 0}, r"http\.timeout_ms: found 0"),
        ({"response_bytes_max": 1.5}, r"http\.response_bytes_max"),
        ({"concurrent_max": True}, r"http\.concurrent_max"),
        ({"requests_per_minute": -1}, r"http\.requests_per_minute"),
        ({"ca_file": "/nowhere.pem"}, r"http\.ca_file"),
        ({"headers": {"example.com": {}}}, r"an origin, such as"),
        ({"headers": {"https://example.com/x": {}}}, r"an origin without a path"),
        ({"headers": {"https://other.example.com": {}}}, r"an origin that allow has"),
        ({"headers": {"http://example.com": {}}}, r"an origin that allow has"),
        ({"headers": {"https://example.com": {"Host": "x"}}}, r"belongs to the connection"),
        ({"headers": {"https://example.com": {"x y": "x"}}}, r"a header's name"),
        (
            {"headers": {"https://example.com": {"x": "top-secret\r\ny: z"}}},
            r"\.x: found 'something else', allowed: print",
        ),
        (
            {"headers": {"https://example.com": {"x": "top-secret env:"}}},
            r"\.x: found 'something else', allowed: env:NAME",
        ),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        http(**{"allow": ["example.com"], **settings})
    assert "top-secret" not in str(caught.value)


def test_no_other_module_of_functions_opens_connections() -> None:
    """Every way out is this pack's, but for the client of MCP servers, whose addresses an operator wrote down."""
    found = []
    for path in sorted(FUNCTIONS.rglob("*.py")):
        place = path.relative_to(FUNCTIONS).as_posix()
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        }
        if names & NETWORKED:
            found.append(place)
    assert [each for each in found if not each.startswith("mcp/client/")] == [
        "packs/http_addresses.py",
        "packs/http_fetch.py",
    ]

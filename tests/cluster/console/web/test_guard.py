"""Who gets in, and who does not: asked of the guard itself, with nothing behind it that could refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from pagefault.cluster.console.web.guard import BODY_MAX_BYTES, HEADERS, Guard, Rules, is_loopback, new_token

TOKEN = "a-token-of-twenty-four-characters"
OWN = {"host": "127.0.0.1:8741"}
POST = {
    **OWN,
    "origin": "http://127.0.0.1:8741",
    "content-type": "application/json",
    "content-length": "2",
    "sec-fetch-site": "same-origin",
}


async def behind(_scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"" if message["type"] == "http.request" else b"broken off"})


class Asked:
    """One request, and what came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


async def ask(
    rules: Rules, method: str, target: str, headers: dict[str, str], bodies: tuple[bytes, ...] = (b"{}",)
) -> Asked:
    path, _, query = target.partition("?")
    left = list(bodies)
    sent: list[Any] = []

    async def receive() -> Message:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    await Guard(behind, rules)(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Asked(sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]))


def rules(**fields: Any) -> Rules:
    return Rules(**{"port": 8741, "names": frozenset({"town.example"}), **fields})


@pytest.mark.parametrize("host", ["127.0.0.1:8741", "localhost:9000", "[::1]:8741", "town.example", "10.0.0.7:8741"])
async def test_names_of_ours_are_answered_with_every_header(host: str) -> None:
    asked = await ask(rules(), "GET", "/", {"host": host})
    assert asked.status == 299
    assert {name: asked.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in asked.headers["content-security-policy"]


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8741", "127.0.0.1.evil.example", "localhost.evil.example", "[", "x" * 300],
)
async def test_a_name_that_somebody_else_has_pointed_here_is_not(host: str) -> None:
    assert (await ask(rules(), "GET", "/", {"host": host})).status == 421
    assert (await ask(rules(token=TOKEN), "GET", f"/?token={TOKEN}", {"host": host})).status == 421


async def test_a_page_that_only_shows_takes_nothing() -> None:
    assert (await ask(rules(), "POST", "/api/send", POST)).status == 403
    assert (await ask(rules(may_control=True), "POST", "/api/send", POST)).status == 299
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert (await ask(rules(may_control=True), method, "/api/send", POST)).status == 405


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://127.0.0.1:8742"}, 403),
        ({"origin": "https://127.0.0.1:8741.evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-length": ""}, 413),
        ({"content-length": str(BODY_MAX_BYTES + 1)}, 413),
        ({"content-length": "-1"}, 413),
        ({"content-length": "\xb2"}, 413),
    ],
)
async def test_what_changes_something_must_come_from_the_page_itself(change: dict[str, str], status: int) -> None:
    assert (await ask(rules(may_control=True), "POST", "/api/send", {**POST, **change})).status == status


async def test_a_body_that_is_longer_than_was_said_is_broken_off() -> None:
    half = b"x" * (BODY_MAX_BYTES // 2 + 1)
    asked = await ask(rules(may_control=True), "POST", "/api/send", POST, (half, half))
    assert asked.body == b"broken off"


async def test_without_the_token_nobody_is_let_in_and_with_it_the_address_forgets_it() -> None:
    kept = rules(token=TOKEN)
    assert (await ask(kept, "GET", "/api/about", OWN)).status == 401
    assert (await ask(kept, "GET", "/?token=wrong", OWN)).status == 401
    asked = await ask(kept, "GET", f"/?token={TOKEN}&x=1", OWN)
    assert (asked.status, asked.headers["location"]) == (303, "/?x=1")
    cookie = asked.headers["set-cookie"]
    assert cookie.startswith(f"pagefault_8741={TOKEN};")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    value = cookie.partition(";")[0]
    assert (await ask(kept, "GET", "/api/about", {**OWN, "cookie": f"other=1; {value}"})).status == 299
    assert (await ask(kept, "GET", "/api/about", {**OWN, "cookie": value[:-1]})).status == 401
    assert (await ask(kept, "GET", "/api/about", {**OWN, "authorization": f"Bearer {TOKEN}"})).status == 299
    controlled = rules(token=TOKEN, may_control=True)
    assert (await ask(controlled, "POST", f"/api/send?token={TOKEN}", POST)).status == 401, "no cookie, no deed"
    assert (await ask(kept, "GET", f"//evil.example/?token={TOKEN}", OWN)).headers["location"] == "/evil.example/"


async def test_a_long_address_is_refused() -> None:
    assert (await ask(rules(), "GET", "/" + "x" * 3000, OWN)).status == 414


@given(st.text(max_size=60))
def test_no_text_but_the_token_is_the_token(text: str) -> None:
    clean = text.encode(errors="replace").decode()
    assert rules(token=TOKEN).is_known(clean) == (clean == TOKEN)
    assert rules().is_known(clean)


@given(st.from_regex(r"([a-z0-9-]{1,12}\.){1,3}(com|example|org|localhost)\.?(:[0-9]{1,5})?", fullmatch=True))
def test_no_name_but_those_said_is_ours(host: str) -> None:
    assert not rules().is_ours(host) or host.partition(":")[0] == "town.example"


def test_where_a_token_is_needed() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.8.0.1")))
    assert not any(map(is_loopback, ("::", "10.0.0.1", "town", "127.0.0.1.example", "")))
    assert len({new_token() for _ in range(10)}) == 10

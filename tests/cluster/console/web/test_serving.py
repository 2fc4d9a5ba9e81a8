"""The server of the page on a real port: what it tells, what it does, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families as read_metrics

from pagefault.cluster.console.web.fleets import OwnFleet
from pagefault.cluster.console.web.serving import Address, PageServer
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import HOSTILE, chronicle, live
from tests.cluster.console.web.conftest import client_of, serving


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "night").mkdir()
    (folder / "night" / "report.html").write_text("<h1>A report</h1><script>alert(1)</script>\n")
    (folder / "night" / "results.parquet").write_text("no report\n")
    (folder / "secret.html").symlink_to("/etc/hostname")
    return folder


@pytest.fixture
async def fleet() -> AsyncIterator[Local]:
    async with Local(embedder="hash") as fleet:
        await live(fleet)
        yield fleet


@pytest.fixture
async def server(fleet: Local, lab: Path) -> AsyncIterator[PageServer]:
    async with serving(fleet, Address(port=0, may_control=True), lab) as server:
        yield server


@pytest.fixture
async def client(server: PageServer) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that has shown the token."""
    async with client_of(server) as client:
        assert (await client.get(server.url)).status_code == 303
        yield client


async def events(client: httpx2.AsyncClient, count: int) -> list[tuple[str, Any]]:
    found = []
    async with client.stream("GET", "/api/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
                if len(found) == count:
                    return found
    return found


def own(client: httpx2.AsyncClient) -> dict[str, str]:
    return {"origin": str(client.base_url).rstrip("/")}


async def test_whoever_calls_before_it_serves_is_kept_waiting(fleet: Local) -> None:
    server = PageServer(OwnFleet(fleet, "a fleet"), Address(port=0))
    url = urlsplit(server.url)
    assert url.hostname is not None
    with socket.create_connection((url.hostname, url.port or 0), timeout=5) as early:
        running = asyncio.create_task(server.run_here())
        early.sendall(f"GET / HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        assert (await asyncio.to_thread(early.recv, 12)) == b"HTTP/1.1 200"
        server.should_exit = True
        await running


async def test_everything_is_told_once_and_then_what_changed(client: httpx2.AsyncClient, fleet: Local) -> None:
    first, second = await events(client, 2)
    assert (first[0], second[0]) == ("whole", "changes")
    assert [name for _, name in first[1]["new"]] == ["ada", "sleeper"]
    assert (first[1]["mode"], first[1]["fleet"], first[1]["total"]) == ("live", "a test", 2)
    assert second[1]["new"] == []
    await fleet.ask("sleeper", "wake up?")
    whole, *later = [told for _, told in await events(client, 3)]
    words = whole["words"] + [word for told in later for word in told["words"]]
    number = next(number for number, name in whole["new"] if name == "sleeper")
    phases = [words[cells[0]] for told in (whole, *later) for found, *cells in told["rows"] if found == number]
    assert phases[-1] != "asleep", "what was seen before is told at once, and mended by the next survey"


async def test_browsers_share_a_survey_and_too_many_are_told_to_come_again(
    client: httpx2.AsyncClient, server: PageServer
) -> None:
    server.feed._clients_max = 2
    async with client.stream("GET", "/api/events") as one, client.stream("GET", "/api/events"):
        async for line in one.aiter_lines():
            if line.startswith("data: "):
                break
        assert server.feed.clients == 2
        surveys = server.feed.surveys
        refused = await client.get("/api/events")
        assert refused.status_code == 503
        assert "2 browsers watch already" in refused.json()["error"]
        assert server.feed.surveys - surveys <= 1


async def test_an_agent_is_shown_as_it_is_and_as_it_was(client: httpx2.AsyncClient) -> None:
    now = (await client.get("/api/agent", params={"name": "ada"})).json()
    then = (await client.get("/api/agent", params={"name": "ada", "step": "7"})).json()
    assert (then["step"], then["source"], then["were_sent"]) == (7, "journal", True)
    assert now["step"] > 30
    for found in (now, then):
        assert sum(region["tokens"] for region in found["regions"]) == found["budget_tokens"]
        assert {page["id"] for page in found["pages"]} == {
            each for region in found["regions"] for each in region["pages"]
        }
    sent = (await client.get("/api/messages", params={"name": "ada", "step": "7"})).json()
    assert (sent["total"], sent["were_sent"]) == (len(sent["messages"]), True)
    assert "Entry 6" in sent["messages"][-1]["text"]
    last = now["pages"][-1]
    page = (await client.get("/api/page", params={"name": "ada", "page": last["id"]})).json()
    assert page["text"] == last["text"]
    assert any(HOSTILE.splitlines()[0] in page["text"] for page in now["pages"]), (
        "as it was written: a page shows it as text"
    )
    steps = (await client.get("/api/timeline", params={"name": "ada", "first": "5", "last": "9"})).json()
    assert [row["step"] for row in steps] == [5, 6, 7, 8, 9]
    newest = (await client.get("/api/timeline", params={"name": "ada"})).json()
    assert newest[-1]["step"] >= now["step"]
    changed = (await client.get("/api/difference", params={"name": "ada", "from": "6", "to": "7"})).json()
    assert {page["change"] for page in changed["pages"]} == {"came"}
    graph = (await client.get("/api/graph")).json()
    pairs = {(edge["sender"], edge["to"], edge["between_agents"]): edge["count"] for edge in graph["edges"]}
    assert pairs["user", "ada", False] >= 36
    assert (await client.get("/api/budget")).json() == {}


REFUSED = [
    ("/api/agent?name=nobody", 404, "nobody"),
    ("/api/agent?name=ada&step=999", 400, "step: found 999"),
    ("/api/agent?name=ada&step=-1", 400, "step: found '-1'"),
    ("/api/agent?name=ada&step=%C2%B2", 400, "whole number"),
    ("/api/agent", 400, "name: found nothing"),
    ("/api/page?name=ada&page=p999", 400, "page: found 'p999'"),
    ("/api/difference?name=ada", 400, "from: found nothing"),
    ("/assets/../guard.py", 404, ""),
    ("/assets/%2e%2e%2fguard.py", 404, ""),
    ("/lab/secret.html", 404, ""),
    ("/lab/night/results.parquet", 404, ""),
    ("/lab/../../etc/passwd", 404, ""),
    ("/nothing", 404, ""),
]


async def test_what_cannot_be_is_said_in_a_sentence_and_reports_are_in_a_box(client: httpx2.AsyncClient) -> None:
    for target, status, problem in REFUSED:
        answer = await client.get(target)
        assert (answer.status_code, problem in answer.text) == (status, True), target
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert [report["path"] for report in (await client.get("/api/lab")).json()] == ["night/report.html"]
    report = await client.get("/lab/night/report.html")
    assert "<h1>A report</h1>" in report.text
    policy = report.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy


async def test_agents_are_written_to_cancelled_and_put_to_sleep(client: httpx2.AsyncClient, fleet: Local) -> None:
    async def do(what: str, body: object) -> httpx2.Response:
        return await client.post(f"/api/{what}", json=body, headers=own(client))

    sent = await do("send", {"agent": "ada", "text": "Good evening."})
    assert sent.status_code == 200, sent.text
    await fleet.idle()
    assert any("Good evening." in page.text for page in (await fleet.inspect("ada")).pages)
    assert (await do("cancel", {"agent": "ada"})).status_code == 200
    await fleet.idle()
    assert (await do("hibernate", {"agent": "ada"})).json() == {"hibernated": True}
    assert {row.agent: row.phase for row in await fleet.survey()}["ada"] == "asleep"  # type: ignore[index]  # plain names
    for what, body, problem in [
        ("send", {"agent": "ada"}, "body.text"),
        ("send", {"agent": "ada", "text": 5}, "body.text"),
        ("send", {"agent": "ada", "text": "x", "priority": "kill"}, "priority"),
        ("send", [], "body"),
        ("stop", {"agent": "ada"}, "send, cancel or hibernate"),
    ]:
        answer = await do(what, body)
        assert (answer.status_code, problem in answer.json()["error"]) == (400, True), answer.text
    assert (await do("send", {"agent": "nobody", "text": "x"})).status_code == 404
    answer = await client.post("/api/send", content=b"{", headers={**own(client), "content-type": "application/json"})
    assert (answer.status_code, "no JSON" in answer.text) == (400, True)
    foreign = await client.post(
        "/api/send", json={"agent": "ada", "text": "x"}, headers={"origin": "http://evil.example"}
    )
    assert foreign.status_code == 403


async def test_a_page_that_only_shows_needs_no_token_here_and_takes_nothing(fleet: Local) -> None:
    async with serving(fleet) as server, client_of(server) as client:
        assert "token" not in server.url
        index = await client.get("/")
        assert '<script type="module"' in index.text
        assert (await client.get("/api/about")).json() == {"control": False, "lab": False}
        assert (await client.post("/api/send", json={}, headers=own(client))).status_code == 403
        assert (await client.get("/", headers={"host": "rebound.example"})).status_code == 421


async def test_addresses_that_cannot_be_had_and_weak_tokens_are_refused(fleet: Local, tmp_path: Path) -> None:
    async with serving(fleet) as server:
        port = server.servers[0].sockets[0].getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port: found {port}"):
            async with serving(fleet, Address(port=port)):
                pass
    with pytest.raises(ConfigError, match=r"--host: found 'no\.such\.host\.invalid'"):
        async with serving(fleet, Address("no.such.host.invalid", 0)):
            pass
    with pytest.raises(ConfigError, match="--token") as refused:
        async with serving(fleet, Address(port=0, token="short")):
            pass
    assert "short" not in str(refused.value)
    with pytest.raises(ConfigError, match="--lab"):
        async with serving(fleet, Address(port=0), tmp_path / "nothing"):
            pass
    assert Address("0.0.0.0").needs_token  # noqa: S104 - only asked about


async def test_asleep_agents_stay_asleep_when_they_are_looked_at(fleet: Local) -> None:
    await fleet.spawn(chronicle("later"))
    async with serving(fleet) as server, client_of(server) as client:
        assert (await client.get("/api/agent", params={"name": "later"})).json()["source"] == "journal"
        await events(client, 1)
        assert [row.phase for row in await fleet.survey("later")] == ["asleep"]


async def test_prometheus_reads_the_metrics_of_the_fleet_and_needs_the_token_like_everybody(
    fleet: Local, server: PageServer, client: httpx2.AsyncClient
) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {sample.name: sample.value for each in read_metrics(response.text) for sample in each.samples}
    steps = next(each["value"] for each in await fleet.metrics() if each["name"] == "pagefault_steps_total")
    assert found["pagefault_steps_total"] == steps > 0
    async with client_of(server) as stranger:
        assert (await stranger.get("/metrics")).status_code == 401
        token = {"authorization": f"Bearer {server.url.partition('token=')[2]}"}
        assert (await stranger.get("/metrics", headers=token)).status_code == 200

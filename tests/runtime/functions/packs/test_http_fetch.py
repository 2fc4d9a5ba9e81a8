"""The one fetch, against real servers: redirects, names that change, limits, secrets, certificates."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from pagefault.runtime.functions.packs.http_fetch import REDIRECTS_MAX, Traffic
from tests.runtime.functions.packs.web import HERE, NAME, Answer, Names, Pack, Web, Writer, answer, pack_of, redirect

ELSEWHERE = "127.0.0.2"
OTHER = "other.example.com"
SECRET = "what-only-the-server-may-know"


def sent(value: Any) -> Any:
    """A value as it arrives in another process of Ray."""
    return cloudpickle.loads(cloudpickle.dumps(value))  # type: ignore[no-untyped-call]  # Ray ships it without types


async def test_a_name_is_looked_up_once_and_connected_to_where_it_was_checked() -> None:
    async with Web({"/": answer("right")}) as right, Web({"/": answer("wrong")}, ELSEWHERE, right.port) as wrong:
        names = Names({NAME: [[HERE], [ELSEWHERE]]})
        pack = pack_of(right, resolver=names)
        assert (await pack.get(right.url())) == ("ok", f"[200 {right.url()} text/plain]\nright")
        assert names.asked == [NAME]
        status, text = await pack.get(right.url())
        assert (status, "private or special network" in text) == ("failed", True)
        assert wrong.seen == []
        open_pack = pack_of(right, resolver=names, networks=["127.0.0.0/8"])
        assert "wrong" in (await open_pack.get(right.url()))[1], "it could have been reached"


async def test_one_private_address_among_others_is_enough_to_refuse() -> None:
    async with Web({"/": answer("here")}) as web:
        for addresses in ([HERE, ELSEWHERE], [ELSEWHERE, HERE], [HERE, "10.0.0.1"], [HERE, "::1"], [HERE, "fe80::1%1"]):
            status, text = await pack_of(web, resolver=Names({NAME: [addresses]})).get(web.url())
            assert (status, "private" in text, addresses[-1] in text) == ("failed", True, False), addresses
        assert web.seen == []


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    async with Web({"/": answer("here")}) as web:
        pack = pack_of(web, networks=["127.0.0.0/8"], resolver=Names({NAME: [["127.0.0.9", HERE]]}))
        assert (await pack.get(web.url()))[0] == "ok"
        none = pack_of(web, networks=["127.0.0.0/8"], resolver=Names({NAME: [["127.0.0.9", "127.0.0.8"]]}))
        assert "ConnectionError" in (await none.get(web.url()))[1]
        unknown = pack_of(web, resolver=Names({NAME: [[]]}))
        assert f"{NAME} has no address" in (await unknown.get(web.url()))[1]


async def test_redirects_are_followed_as_far_as_each_could_be_asked_for() -> None:
    answers: dict[str, Answer] = {
        "/a": redirect("b?x=1"),
        "/b": redirect("/c", "308 Permanent Redirect"),
        "/c": answer("here"),
        "/round": redirect("/round"),
        "/outside": redirect("http://elsewhere.example.com/"),
        "/file": redirect("file:///etc/passwd"),
        "/port": redirect("//docs.example.com:1/"),
        "/number": redirect("http://2130706433/"),
        "/literal": redirect(f"http://{HERE}/"),
        "/broken": redirect("http://[/"),
        "/user": redirect("http://a:b@docs.example.com/"),
        "/nowhere": answer("moved", status="302 Found"),
    }
    async with Web(answers) as web:
        pack = pack_of(web)
        assert (await pack.get(web.url("/a"))) == ("ok", f"[200 {web.url('/c')} text/plain]\nhere")
        assert [each.target for each in web.seen] == ["/a", "/b?x=1", "/c"]
        assert f"more than {REDIRECTS_MAX} times" in (await pack.get(web.url("/round")))[1]
        assert len(web.seen) == 3 + 1 + REDIRECTS_MAX
        for path in ("/outside", "/file", "/port", "/number", "/literal", "/broken", "/user"):
            status, text = await pack.get(web.url(path))
            assert (status, f"UsageError: {web.url(path)} redirects to where it may not: url: found" in text) == (
                "failed",
                True,
            ), path
        assert (await pack.get(web.url("/nowhere"))) == ("ok", f"[302 {web.url('/nowhere')} text/plain]\nmoved")


async def test_a_redirect_to_an_allowed_name_that_leads_inside_is_refused() -> None:
    async with Web({}) as inside, Web({"/": redirect(inside.url("/", OTHER)), "/on": redirect("/")}) as outside:
        names = Names({NAME: [[HERE]], OTHER: [[ELSEWHERE]]})
        allow = [f"http://{NAME}:{outside.port}", f"http://{OTHER}:{inside.port}"]
        status, text = await Pack(allow, networks=[f"{HERE}/32"], resolver=names).get(outside.url("/on"))
        assert (status, f"{OTHER!r} leads into a private" in text) == ("failed", True)
        assert (len(outside.seen), inside.seen) == (2, [])


async def test_headers_go_to_their_origin_and_along_no_redirect_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_SECRET", SECRET)
    async with Web({"/echo": answer("there")}) as other:
        answers: dict[str, Answer] = {
            "/": answer(f"you said {SECRET}"),
            "/same": redirect("/"),
            "/away": redirect(other.url("/echo", OTHER)),
        }
        async with Web(answers) as web:
            headers = {
                web.url("", NAME): {"authorization": "Bearer env:DOCS_SECRET", "Accept": "text/plain"},
                other.url("", OTHER): {"x-key": "env:DOCS_SECRET"},
            }
            allow = [f"http://{NAME}:{web.port}", f"http://{OTHER}:{other.port}"]
            names = Names({NAME: [[HERE]], OTHER: [[HERE]]})
            pack = Pack(allow, networks=[f"{HERE}/32"], headers=headers, resolver=names)
            assert (await pack.get(web.url("/same")))[1].endswith("you said [secret]")
            assert [each.headers["authorization"] for each in web.seen] == [f"Bearer {SECRET}"] * 2
            assert web.seen[0].headers["accept"] == "text/plain"
            assert "there" in (await pack.get(web.url("/away")))[1]
            assert SECRET not in str(other.seen)
            await pack.get(other.url("/echo", OTHER))
            assert other.seen[-1].headers["x-key"] == SECRET
            literal = Pack(
                allow, networks=[f"{HERE}/32"], headers={web.url("", NAME): {"X-Key": f"of {SECRET}"}}, resolver=names
            )
            assert (await literal.get(web.url("/")))[1].endswith("you said [secret]")
            assert web.seen[-1].headers["x-key"] == f"of {SECRET}"
            for wrong in ("", "two\nlines", "caf\u00e9-" + SECRET):
                monkeypatch.setenv("DOCS_SECRET", wrong)
                status, text = await pack.get(web.url("/"))
                assert (status, "DOCS_SECRET" in text, wrong[:5] in text and wrong != "") == ("failed", True, False)


async def test_nothing_of_the_environment_or_of_an_earlier_answer_is_in_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Web({"/": answer("ok", set_cookie="a=b")}) as web:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.9:9")
        pack = pack_of(web)
        for _ in range(2):
            assert (await pack.get(web.url("/?q=\u00fc#part")))[0] == "ok"
        assert web.seen[0] == web.seen[1]
        assert web.seen[0].target == "/?q=%C3%BC"
        assert sorted(web.seen[0].headers) == ["accept", "accept-encoding", "host", "user-agent"]


async def trickle(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"y" * 10_000)
        await writer.drain()


async def silent(writer: Writer) -> None:
    await asyncio.sleep(20)


async def many_headers(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 100_000)
    await writer.drain()


def bomb() -> bytes:
    """50 MB, packed into 50 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = b"0" * 1_000_000
    return b"".join(packer.compress(piece) for _ in range(50)) + packer.flush()


async def test_what_takes_too_long_or_too_much_is_cut() -> None:
    packed = gzip.compress(b"first, ") + gzip.compress(b"second")
    answers: dict[str, Answer] = {
        "/trickle": trickle,
        "/silent": silent,
        "/endless": endless,
        "/headers": many_headers,
        "/bomb": answer(bomb(), content_encoding="gzip"),
        "/members": answer(packed, content_encoding="gzip"),
        "/half": answer(packed[:-9], content_encoding="gzip"),
        "/no-gzip": answer(b"plain", content_encoding="gzip"),
        "/twice": answer(gzip.compress(packed), content_encoding="gzip, gzip"),
        "/brotli": answer(packed, content_encoding="br"),
        "/short": answer("12345").replace(b"content-length: 5", b"content-length: 50"),
    }
    async with Web(answers) as web:
        pack = pack_of(web, timeout_ms=300, response_bytes_max=5_000)
        for path in ("/trickle", "/silent"):
            assert (await pack.get(web.url(path))) == ("failed", f"TimeoutError: {web.url('')} took longer than 300 ms")
        for path, letter in (("/endless", "y"), ("/bomb", "0")):
            status, text = await pack.get(web.url(path))
            _, body, note = text.split("\n")
            assert (status, body, note) == ("ok", letter * 5_000, "[the answer goes on; no more of it is read]"), path
        assert (await pack.get(web.url("/members")))[1].endswith("\nfirst, second")
        assert (await pack.get(web.url("/half")))[1].endswith("[the answer goes on; no more of it is read]")
        for path in ("/headers", "/no-gzip", "/twice", "/brotli", "/short"):
            status, text = await pack.get(web.url(path))
            assert (status, text.startswith("ConnectionError")) == ("failed", True), path


async def test_only_so_many_at_a_time_and_in_a_minute() -> None:
    both, waiting = asyncio.Event(), asyncio.Event()

    async def held(writer: Writer) -> None:
        if len(web.seen) == 2:
            both.set()
        await waiting.wait()
        writer.write(answer("done"))

    async with Web({"/": held}) as web:
        pack = pack_of(web, concurrent_max=2, requests_per_minute=5)
        calls = [asyncio.create_task(pack.get(web.url())) for _ in range(5)]
        await both.wait()
        waiting.set()
        assert [status for status, _ in await asyncio.gather(*calls)] == ["ok"] * 5
        assert web.most_at_once == 2
        status, text = await pack.get(web.url())
        assert (status, "try again in 60 seconds" in text) == ("failed", True)
        assert len(web.seen) == 5


def test_a_copy_counts_for_itself() -> None:
    traffic = Traffic(1, 1)
    traffic.count()
    copy = sent(traffic)
    copy.count()
    with pytest.raises(Exception, match="1 a minute"):
        copy.count()


async def test_a_post_is_sent_once_and_what_came_of_it_is_said() -> None:
    answers: dict[str, Answer] = {
        "/": answer('{"id": 7}', "application/json", "201 Created"),
        "/moved": redirect("/", "307 Temporary Redirect"),
        "/picture": answer(b"\x89PNG", "image/png"),
        "/silent": silent,
        "/cut": b"HTTP/1.1 200 OK\r\ncontent-le",
    }
    async with Web(answers) as web:
        pack = pack_of(web, methods=["GET", "POST"], timeout_ms=300)
        assert (await pack.post(web.url(), body='{"a": "\u00fc"}')) == (
            "ok",
            f'[201 {web.url()} application/json]\n{{"id": 7}}',
        )
        sent = web.seen[0]
        assert (sent.method, sent.body.decode(), sent.headers["content-type"]) == (
            "POST",
            '{"a": "\u00fc"}',
            "application/json",
        )
        assert (await pack.post(web.url("/moved"), body="a=1", body_type="application/x-www-form-urlencoded"))[1] == (
            f"[307 {web.url('/moved')} redirects to /, which was not followed]"
        )
        assert (await pack.post(web.url("/picture"), body="x"))[0] == "ok"
        for path in ("/silent", "/cut"):
            status, text = await pack.post(web.url(path), body="x")
            assert (status, "whether it was carried out is not known" in text) == ("unknown", True), path
        assert len(web.seen) == 5
        missing = pack_of(web, methods=["POST"], networks=[])
        assert (await missing.post(web.url(), body="x"))[0] == "failed", "nothing was sent"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for one name, which is its own authority, with its key in the same file."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command is there to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", f"/CN={NAME}",
            "-addext", f"subjectAltName=DNS:{NAME}",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


async def test_certificates_are_verified_for_the_name_that_was_asked_for(certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    async with Web({"/": answer("safe")}, tls=tls) as web, Web({"/": answer("open")}) as plain:
        authority = str(certificate / "certificate.pem")
        pack = pack_of(web, ca_file=authority)
        assert (await pack.get(web.url())) == ("ok", f"[200 {web.url()} text/plain]\nsafe")
        names = Names({OTHER: [[HERE]], NAME: [[HERE]]})
        others = Pack(
            [f"{OTHER}:{web.port}", f"{HERE}:{web.port}"], networks=[f"{HERE}/32"], ca_file=authority, resolver=names
        )
        for name in (OTHER, HERE):
            status, text = await others.get(web.url("/", name))
            assert (status, "ConnectionError" in text, "certificate" in text.lower()) == ("failed", True, True), text
        assert "certificate" in (await pack_of(web).get(web.url()))[1].lower(), "no authority of the system signed it"
        post = pack_of(web, methods=["POST"])
        assert (await post.post(web.url(), body="x"))[0] == "failed", "nothing was sent: it is known what came of it"
        assert len(web.seen) == 1
        down = Web({"/": redirect(plain.url("/"))}, tls=tls)
        async with down:
            allow = [f"https://{NAME}:{down.port}", f"http://{NAME}:{plain.port}"]
            both = Pack(allow, networks=[f"{HERE}/32"], ca_file=authority)
            assert "allowed: only https from https" in (await both.get(down.url()))[1]
            assert plain.seen == []


async def test_a_copy_in_another_process_works_as_the_original() -> None:
    async with Web({"/": answer("here")}) as web:
        pack = pack_of(web)
        definition = pack.table.definition("http_get")
        copy = sent(definition.function)
        assert (await copy(web.url())) == f"[200 {web.url()} text/plain]\nhere"
        with pytest.raises(Exception, match="allowed: only http://docs"):
            await copy(web.url("/", OTHER))

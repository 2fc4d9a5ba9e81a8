"""Names that lead where nobody from outside shall go: every address of every such network is refused."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.packs.http_addresses import (
    METADATA,
    NOT_PUBLIC,
    PUBLIC_6,
    checked_addresses,
    is_public,
    may_reach,
    read_networks,
    system_resolver,
)
from tests.runtime.functions.packs.web import NAME, Names, Pack, Web, answer, pack_of

HOSTILE = """0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.64.0.1 100.100.100.200
100.127.255.255 127.0.0.0 127.0.0.1 127.0.1.1 127.1.2.3 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254
169.254.170.2 169.254.169.253 169.254.255.255 172.16.0.0 172.17.0.1 172.20.10.2 172.31.255.255 192.0.0.1 192.0.0.8
192.0.0.170 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.0 192.168.0.1 192.168.1.1 192.168.255.255 198.18.0.1
198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 224.0.0.251 232.1.1.1 239.255.255.250 240.0.0.1 250.1.2.3
255.255.255.255 :: ::1 ::2 ::7f00:1 ::10.0.0.1 ::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
::ffff:192.168.0.1 ::ffff:8.8.8.8 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::808:808
64:ff9b:1::7f00:1 64:ff9b:1:ffff::a00:1 100::1 100:0:0:1::1 2001::1 2001:0:7f00:1:: 2001:1::1 2001:2::1 2001:10::1
2001:20::1 2001:db8::1 2001:db8:ffff::1 2002:: 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:c0a8:1:: 3fff::1 5f00::1 fc00::1
fc00:ec2::254 fd00::1 fd00:ec2::254 fd00:ec2::23 fd12:3456:789a::1 fd20:ce::254 fe00::1 fe80::1 fe80::1%eth0
fe80::a9fe:a9fe febf::1 fec0::1 fec0:0:0:ffff::1 feff::1 ff01::1 ff02::1 ff02::fb ff05::2 ff0e::1 4000::1 1::1"""
PUBLIC = "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.20.0.1 223.255.255.255 "
PUBLIC += "2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450::1 2003::1 3ffe::1"
_connections: list[object] = []
_is_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _is_watching and event == "socket.connect":
        _connections.append(arguments[1])


sys.addaudithook(_watch)


@contextmanager
def connections() -> Iterator[list[object]]:
    """Where anything of this process connects to meanwhile."""
    global _is_watching  # noqa: PLW0603  a hook of the interpreter stays for ever: this is its switch
    _connections.clear()
    _is_watching = True
    try:
        yield _connections
    finally:
        _is_watching = False


async def test_no_name_leads_to_an_address_that_is_not_public() -> None:
    reached = []
    with connections() as opened:
        for each in HOSTILE.split():
            names = Names({NAME: [[each]]})
            status, text = await Pack([NAME, f"http://{NAME}"], resolver=names).get(f"https://{NAME}/")
            if status != "failed" or "leads into a private or special network" not in text or each in text:
                reached.append((each, text))
            assert names.asked == [NAME]
    assert (reached, opened) == ([], [])
    assert len(HOSTILE.split()) >= 100


async def test_an_allowed_address_is_not_a_network_that_is() -> None:
    reached = []
    with connections() as opened:
        for each in HOSTILE.split():
            if "%" in each:
                continue
            host = f"[{each}]" if ":" in each else each
            status, text = await Pack([host]).get(f"https://{host}/")
            if status != "failed" or "leads into a private or special network" not in text:
                reached.append((each, text))
    assert (reached, opened) == ([], [])


async def test_connections_are_seen_where_there_are_any() -> None:
    async with Web({"/": answer("here")}) as web:
        with connections() as opened:
            await pack_of(web).get(web.url())
    assert opened == [("127.0.0.1", web.port)]


def test_public_addresses_are() -> None:
    assert [each for each in PUBLIC.split() if not may_reach(ipaddress.ip_address(each), ())] == []


def test_networks_are_opened_on_purpose_and_metadata_only_alone() -> None:
    networks = read_networks(["10.1.0.0/16", "fd12::/48", "169.254.0.0/16"], "networks")
    for address, is_allowed in (
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("::ffff:10.1.2.3", False),
        ("fd12::5", True),
        ("fd12:0:1::5", False),
        ("169.254.1.1", True),
        ("169.254.169.254", False),
        ("8.8.8.8", True),
    ):
        assert may_reach(ipaddress.ip_address(address), networks) is is_allowed, address
    everything = read_networks(["0.0.0.0/0", "::/0"], "networks")
    assert not any(may_reach(each, everything) for each in METADATA)
    assert all(may_reach(each, read_networks([str(each)], "networks")) for each in METADATA)


@pytest.mark.parametrize("network", ["10.1.0.0/8", "10.1", "example.com", "", "10.0.0.0/33", "fd12::1/48", None])
def test_a_network_that_is_none_is_an_error_with_its_place(network: str) -> None:
    with pytest.raises(ConfigError, match=r"http\.networks\[1\]: found"):
        read_networks(["10.1.0.0/16", network], "http.networks")
    with pytest.raises(ConfigError, match="a list of networks"):
        read_networks("10.1.0.0/16", "http.networks")


@given(st.ip_addresses())
def test_what_python_knows_as_special_is_never_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    flags = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")
    if any(getattr(address, flag) for flag in flags):
        assert not is_public(address)


@given(st.sampled_from(NOT_PUBLIC), st.integers(min_value=0))
def test_no_address_of_a_special_network_is_public(network: ipaddress.IPv4Network, number: int) -> None:
    assert not is_public(network[number % network.num_addresses])


@given(st.ip_addresses(v=4))
def test_no_form_of_an_ipv4_address_inside_of_an_ipv6_address_is_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    forms = (number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80, 0x20010000 << 96)
    assert not any(is_public(ipaddress.IPv6Address(each)) for each in forms)
    assert ipaddress.IPv6Address(number) not in PUBLIC_6


async def test_names_are_looked_up_in_threads_of_their_own() -> None:
    taken = ThreadPoolExecutor(1)
    taken.shutdown()
    asyncio.get_running_loop().set_default_executor(taken)  # which takes nothing more
    assert "127.0.0.1" in await system_resolver("localhost", 80)


async def test_the_system_is_asked_for_names_and_refused_as_everybody() -> None:
    assert "127.0.0.1" in await system_resolver("localhost", 80)
    with pytest.raises(UsageError, match="'localhost' leads into a private"):
        await checked_addresses("localhost", 80, system_resolver, ())
    with pytest.raises(ConnectionError, match=r"no-such-name\.invalid has no address"):
        await checked_addresses("no-such-name.invalid", 80, Names({}), ())
    with pytest.raises(ConnectionError, match=r"odd\.example has no address"):
        await checked_addresses("odd.example", 80, Names({"odd.example": [["elsewhere.example"]]}), ())

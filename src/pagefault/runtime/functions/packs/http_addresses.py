"""Where connections may go: a name is looked up once, all of its addresses are checked, and one of them is used.

Checking a name and then letting a library connect to it would look it up twice, and a name server may answer
differently the second time (rebinding).  So this stands where the HTTP library opens its sockets: it connects to
exactly the address that it has checked, while TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import httpcore2

from pagefault.runtime.errors import ConfigError, UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Iterable[str]]]
"""From a host's name and a port to the addresses of that name, as text."""
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
TRIED_MAX: Final = 4
"""Addresses of a name that are tried, one after the other."""
_LOOKUPS: Final = ThreadPoolExecutor(8, thread_name_prefix="pagefault-lookup")
"""Threads of their own: a name server that does not answer holds up other look-ups, and nothing else."""

PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out for use on the Internet; the rest is private, local, multicast or a translation."""
NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        # RFC 6890 and IANA's registries of special-purpose addresses, as of 2026
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers; has the metadata service of Alibaba Cloud
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; has the metadata services of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; has the metadata service of Oracle Cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which has an IPv4 address inside
        "3fff::/20",  # documentation
    )
)
METADATA: Final = frozenset(
    ipaddress.ip_address(each)
    for each in (
        "169.254.169.254",  # AWS, Google Cloud, Azure, DigitalOcean and others
        "169.254.170.2",  # containers of AWS
        "169.254.170.23",  # pods of AWS
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure, though it looks public
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # pods of AWS
        "fd20:ce::254",  # Google Cloud
    )
)
"""These give credentials to whoever asks: only a network of nothing else opens one."""


def read_networks(networks: Iterable[str], field: str) -> tuple[Network, ...]:
    """Networks that are allowed though they are not public.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    if isinstance(networks, str):
        raise ConfigError(field, networks, "a list of networks")
    found: list[Network] = []
    for number, each in enumerate(networks):
        try:
            found.append(ipaddress.ip_network(each))
        except ValueError:
            raise ConfigError(f"{field}[{number}]", each, "a network, such as 10.1.0.0/16 or fd12::/48") from None
    return tuple(found)


def may_reach(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address is public, or in one of these networks."""
    inside = [each for each in networks if address.version == each.version and address in each]
    if address in METADATA:
        return any(each.num_addresses == 1 for each in inside)
    return bool(inside) or is_public(address)


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet's: of the registry, and not only of what this Python knows of it."""
    if isinstance(address, ipaddress.IPv6Address) and address not in PUBLIC_6:
        return False
    special = any(address.version == each.version and address in each for each in NOT_PUBLIC)
    return address.is_global and not special


async def system_resolver(host: str, port: int) -> list[str]:
    """What the system says a name's addresses are."""
    asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, asked)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


async def checked_addresses(host: str, port: int, resolver: Resolver, networks: Iterable[Network]) -> list[Address]:
    """The addresses of a host, every one of them checked.

    Raises:
        UsageError: one of them may not be reached; which one is not said, since that is for nobody outside.
        ConnectionError: it has none.
    """
    try:
        found = [ipaddress.ip_address(host)]
    except ValueError:
        found = await _looked_up(host, port, resolver)
    if not all(may_reach(address, networks) for address in found):
        raise UsageError(f"url: {host!r} leads into a private or special network, allowed: public addresses")
    return found


async def _looked_up(host: str, port: int, resolver: Resolver) -> list[Address]:
    try:
        found = [ipaddress.ip_address(each) for each in await resolver(host, port)]
    except (OSError, ValueError):
        found = []
    if not found:
        raise ConnectionError(f"{host} has no address")
    return found


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens the connections of the HTTP library, to nothing but checked addresses."""

    def __init__(self, resolver: Resolver, networks: Iterable[Network]) -> None:
        self._resolver = resolver
        self._networks = tuple(networks)
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the library's interface; the caller has a limit of its own
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises what :func:`checked_addresses` and the library raise."""
        addresses = await checked_addresses(host, port, self._resolver, self._networks)
        for number, address in enumerate(addresses[:TRIED_MAX], 1):
            try:
                return await self._sockets.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == min(len(addresses), TRIED_MAX):
                    raise
        raise AssertionError("there is always an address")

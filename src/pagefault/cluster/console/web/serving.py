"""The page's server: opened on one address, run until somebody ends it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from pagefault.cluster.console.web.control import Controls
from pagefault.cluster.console.web.feed import CLIENTS_MAX, Feed
from pagefault.cluster.console.web.fleets import Shown
from pagefault.cluster.console.web.guard import Rules, is_loopback, new_token
from pagefault.cluster.console.web.looks import Looks
from pagefault.cluster.console.web.reports import Reports
from pagefault.cluster.console.web.routes import Pages
from pagefault.runtime.errors import ConfigError

CONNECTIONS_MAX = 4 * CLIENTS_MAX
HEADERS_MAX_BYTES = 16 * 1024
KEEP_ALIVE_S = 15
GRACE_S = 1
TOKEN_CHARS_MIN = 16


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page is, and who may see it.  ``token``: empty makes one where one is needed."""

    host: str = "127.0.0.1"
    port: int = 8741
    token: str = ""
    names: tuple[str, ...] = ()
    may_control: bool = False

    @property
    def needs_token(self) -> bool:
        """Others of this machine may look at a page that only shows; nobody else, and nobody else may touch."""
        return self.may_control or not is_loopback(self.host)


class PageServer(uvicorn.Server):
    """A server for one page.  ``url`` is what to open in a browser, with the token.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for an address that cannot be had, a weak token, and a
    ``lab`` folder that is not there.
    """

    def __init__(self, shown: Shown, address: Address, *, lab: Path | None = None, interval_s: float = 1.0) -> None:
        if address.token and len(address.token) < TOKEN_CHARS_MIN:
            raise ConfigError("--token", "*" * len(address.token), f"{TOKEN_CHARS_MIN} characters or more")
        reports = None if lab is None else Reports(lab)
        self._shown = shown
        self._socket = _bound(address.host, address.port)
        port = self._socket.getsockname()[1]
        token = address.token or (new_token() if address.needs_token else "")
        names = frozenset({socket.gethostname().lower(), *(name.lower() for name in address.names)})
        rules = Rules(port, token, names, address.may_control)
        self.feed = Feed(shown.survey, interval_s)
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"http://{host}:{port}/" + (f"?token={token}" if token else "")
        looks = Looks(shown, self.feed)
        pages = Pages(self.feed, looks, Controls(shown.controlled), reports, rules)
        super().__init__(
            uvicorn.Config(
                pages.app(),
                loop="none",
                http="h11",
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    async def run_here(self) -> None:
        """Serve until a signal, or ``should_exit``; then leave the fleet as it was."""
        try:
            await self.serve(sockets=[self._socket])
        finally:
            self._socket.close()
            await self.feed.close()
            await self._shown.close()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError("--host", host, f"an address of this machine ({error})") from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()  # whoever hears the address may call before the server serves, and is kept waiting
    except OSError as error:
        opened.close()
        allowed = f"a port that is free on {host}, or 0 for any ({error.strerror})"
        raise ConfigError("--port", port, allowed) from None
    return opened

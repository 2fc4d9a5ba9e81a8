"""The token of a Ray that is begun here: readable by its owner alone.

Ray makes one by itself, but with the permissions that the user's umask leaves, which lets others on the machine read
it; and whoever has it can run code in the cluster, since Ray's calls carry pickles.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from pagefault.runtime.errors import ConfigError

TOKEN_BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_path() -> Path:
    """The file in which Ray looks for its token, there or not."""
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(given).expanduser() if given else Path.home() / ".ray" / "auth_token"


def keep_token_private() -> Path | None:
    """Make the token that Ray is about to use, or take an existing one away from everybody else.

    Returns its file; ``None`` if there is none because the token is in ``RAY_AUTH_TOKEN`` or authentication was turned
    off (``RAY_AUTH_MODE=disabled``).  Raises :class:`~pagefault.runtime.errors.ConfigError` for a file that cannot be
    made private.
    """
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return None
    path = token_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(TOKEN_BYTES))
        if path.stat().st_mode & OTHERS:
            path.chmod(0o600)
    except OSError as error:
        allowed = f"a file that only its owner can read ({error})"
        raise ConfigError("RAY_AUTH_TOKEN_PATH", str(path), allowed) from error
    return path

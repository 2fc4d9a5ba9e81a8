"""What came over HTTP, as text: which types are text, and what is packed unpacked, within bounds."""

from __future__ import annotations

import re
import zlib
from email.message import Message
from typing import Final

GZIP: Final = "gzip"
ENCODINGS: Final = ("", "identity", GZIP, "x-gzip")
GZIP_WINDOW: Final = 31
"""zlib's way to say: a window of 32 kB, in gzip's format."""
ALLOWED: Final = "text, JSON and XML"
_TEXT: Final = re.compile(r"text/[\w.+-]+|application/(?:json|xml|x-ndjson|jsonl)|[\w.+-]+/[\w.+-]+\+(?:json|xml)")
_CHARSETS: Final = re.compile(
    r"utf-?(8|16|32)(-?[lb]e)?|us-ascii|ascii|latin-?1|iso-?8859-\d{1,2}|windows-\d{3,4}|cp\d{3,4}|koi8-[ru]"
    r"|big5|euc-(jp|kr)|shift_jis|gb(2312|k|18030)",
)


def read_type(header: str) -> tuple[str, str]:
    """The type and the charset of a ``Content-Type``; a charset that is not known to be harmless is taken for UTF-8."""
    message = Message()
    message["content-type"] = header[:1_000]
    given = message.get_param("charset", "")
    charset = given.lower() if isinstance(given, str) else ""
    kind = message.get_content_type() if "/" in header else ""
    return kind, charset if _CHARSETS.fullmatch(charset) else "utf-8"


def is_text(kind: str) -> bool:
    """Whether a type is text, JSON or XML."""
    return _TEXT.fullmatch(kind) is not None


class Unpacker:
    """Takes a body as it comes in, and gives no more of what is in it than is asked for: a small body may unpack to one
    that fills a machine."""

    def __init__(self, encoding: str) -> None:
        self._is_packed = encoding in (GZIP, "x-gzip")
        self._inflater = zlib.decompressobj(GZIP_WINDOW)
        self._has_begun = False

    def feed(self, data: bytes, bytes_max: int) -> bytes:
        """What is in the next piece, at most ``bytes_max``.  Raises ``zlib.error`` for what is not gzip."""
        if not self._is_packed:
            return data[:bytes_max]
        self._has_begun = self._has_begun or bool(data)
        found = bytearray()
        while data and len(found) < bytes_max:
            if self._inflater.eof:  # gzip may come in several members
                self._inflater = zlib.decompressobj(GZIP_WINDOW)
            found += self._inflater.decompress(data, bytes_max - len(found))
            data = self._inflater.unused_data
        return bytes(found)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing at the end."""
        return not self._has_begun or self._inflater.eof


def decoded(body: bytes, charset: str) -> str:
    """A body's characters; what cannot be read, and zeros, are shown as the replacement character."""
    try:
        text = body.decode(charset, "replace")
    except LookupError:  # a name of the right form for which there is no codec
        text = body.decode("utf-8", "replace")
    return text.removeprefix("\ufeff").replace("\0", "\ufffd")

"""Which endpoint a prompt goes to: the same one for all prompts that begin alike, so that its prefix cache helps.

Weighted rendezvous hashing (Thaler and Ravishankar 1998; the weights as Schindelhauer and Schomaker 2005): every
endpoint draws a number for the prefix, the highest wins, and one that is added or lost moves no prefix
between the others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from pagefault.runtime.models.budget.settings import Endpoint
from pagefault.runtime.values import ModelRequest


def prefix_of(request: ModelRequest) -> bytes:
    """A fingerprint of how a prompt begins: its system message."""
    first = request.messages[0].text if request.messages else ""
    return hashlib.blake2b(first.encode(errors="surrogatepass"), digest_size=8).digest()


def ranked(prefix: bytes, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    """The names of endpoints, the one to prefer first."""
    return tuple(each.name for each in sorted(endpoints, key=lambda each: _draw(prefix, each), reverse=True))


def _draw(prefix: bytes, endpoint: Endpoint) -> float:
    digest = hashlib.blake2b(prefix + endpoint.name.encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return -endpoint.weight / math.log(uniform)

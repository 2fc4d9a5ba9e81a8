"""A function that needs approval, and a mind that calls it."""

from __future__ import annotations

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.models.scripted import Reply, call, nothing
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest


@function(requires_approval=True)
def sign(what: str) -> str:
    """Sign something.

    Args:
        what: What.
    """
    return f"signed {what}"


def signer(request: ModelRequest) -> Reply:
    """Signs what it is told to."""
    view = View(request)
    if view.result is not None or view.incoming is None:
        return nothing()
    return call("sign", what=view.incoming.text)

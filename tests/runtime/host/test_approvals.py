"""Approvals through a whole fleet, over a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.runtime.errors import AgentFailed, UsageError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, mind, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

WIRED: list[int] = []


@function(requires_approval=True)
def wire(amount: int) -> str:
    """Wire money.

    Args:
        amount: How much.
    """
    WIRED.append(amount)
    return f"wired {amount}"


@mind("test-cashier")
def cashier(request: ModelRequest) -> Reply:
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    return call("wire", amount=int(view.incoming.text if view.incoming is not None else 0))


def fleet(folder: Path) -> Local:
    return Local(folder, functions=[wire], embedder="hash")


CASHIER = Agent("cashier", model="scripted:test-cashier", functions=("send_message", "wire"))


async def test_what_waits_is_listed_without_waking_anybody_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    WIRED.clear()
    async with fleet(tmp_path) as first:
        ref = await first.spawn(CASHIER)
        await first.spawn(Agent("bystander"))
        sent = await ref.send("40")
        await first.idle()
        (found,) = await first.approvals()
        assert (found.agent, found.function, found.cause, found.sender) == ("cashier", "wire", sent, "user")
        assert '"amount": 40' in found.arguments or '"amount":40' in found.arguments
        assert await first.approvals("by") == []
    async with fleet(tmp_path) as second:
        assert await second.approvals() == [found]
        assert not WIRED
        await second.approve(found.id)
        await second.idle()
        assert WIRED == [40]
        await second.approve(found.id)  # which changes nothing
        await second.idle()
        assert WIRED == [40]
        assert await second.approvals() == []
        with pytest.raises(AgentFailed, match="no call of that id waits"):
            await second.deny(found.id)


async def test_denied_with_a_reason(tmp_path: Path) -> None:
    WIRED.clear()
    async with fleet(tmp_path) as local:
        ref = await local.spawn(CASHIER)
        await ref.send("50")
        await local.idle()
        (found,) = await local.approvals()
        await local.deny(found.id, "not today")
        await local.idle()
        shown = [page.text for page in (await local.inspect("cashier")).pages]
        assert any("Failed: wire was not approved: not today" in text for text in shown), shown
        assert not WIRED


async def test_ids_that_are_none_are_refused(tmp_path: Path) -> None:
    async with fleet(tmp_path) as local:
        for wrong in ("", "cashier", "cashier/x", "/3"):
            with pytest.raises(UsageError, match="approval: found"):
                await local.approve(wrong)

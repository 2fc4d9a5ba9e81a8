"""``pagefault approvals``, on the folder of a fleet that does not run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from tests.cluster.console.conftest import Pagefault

ALONE = ("--folder", "kept", "--embedder", "hash")
SIGNER = Agent(
    "signer",
    model="scripted:tests.cluster.console.signing:signer",
    functions=("send_message", "tests.cluster.console.signing:sign"),
)


async def _make(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        ref = await fleet.spawn(SIGNER)
        await ref.send("the treaty")
        await ref.send("the cheque")
        await fleet.idle()


def test_calls_that_wait_are_listed_approved_and_denied(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    shown = pagefault("approvals", "list", *ALONE)
    assert shown.code == 0, shown.errors
    first, second = json.loads(pagefault("approvals", "list", *ALONE, "--json").out)
    assert all(text in shown.out for text in (first["id"], "sign", "the treaty", "the cheque"))
    approved = pagefault("approvals", "approve", first["id"], *ALONE)
    assert (approved.code, approved.errors) == (0, f"approved: {first['id']}\n")
    denied = pagefault("approvals", "deny", second["id"], "--reason", "no money", *ALONE, "--json")
    assert json.loads(denied.out) == {"id": second["id"], "decision": "denied"}
    assert json.loads(pagefault("approvals", "list", *ALONE, "--json").out) == []
    pages = json.loads(pagefault("replay", "signer", *ALONE, "--json").out)["inspection"]["pages"]
    texts = [page["text"] for page in pages]
    assert "OK: signed the treaty" in texts
    assert any("not approved: no money" in text for text in texts)
    assert pagefault("approvals", "approve", second["id"], *ALONE).code != 0

"""``pagefault topics`` and ``pagefault dead``."""

from __future__ import annotations

import json

from tests.cluster.console.conftest import Living, Pagefault


def test_topics_are_listed(pagefault: Pagefault, living: Living) -> None:
    assert json.loads(pagefault("topics", "--folder", str(living.folder), "--json").out) == {"weather": 1}
    assert "weather" in pagefault("topics", "ada", "--name", "living").out
    assert "weather" not in pagefault("topics", "lost", "--name", "living").out


def test_dead_letters_are_listed_and_sent_again(pagefault: Pagefault, living: Living) -> None:
    fleet = ("--name", "living")
    (letter,) = json.loads(pagefault("dead", "list", *fleet, "--json").out)
    assert (letter["from"], letter["to"], letter["text"]) == ("lost", "nobody", "well?")
    assert letter["id"] in pagefault("dead", "list", "nobody", *fleet).out
    assert json.loads(pagefault("dead", "list", "ada", *fleet, "--json").out) == []
    assert "or --all" in pagefault("dead", "send", *fleet).error
    ended = pagefault("dead", "send", letter["id"], *fleet, "--json")
    assert (ended.code, json.loads(ended.out)) == (1, {"asked": 1, "sent": []})
    living("spawn", name="nobody", model="scripted:tests.cluster.minds:echo")
    ended = pagefault("dead", "send", "--all", *fleet)
    assert (ended.code, ended.errors) == (0, "1 of 1 were accepted\n")
    assert json.loads(pagefault("dead", "list", *fleet, "--json").out) == []

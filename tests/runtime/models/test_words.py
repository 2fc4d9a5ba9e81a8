"""Words as they come: what is heard of half a reply, and what is taken back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.models.words import Hearer


class Ear:
    """What somebody has on their screen."""

    def __init__(self, *, takes_text: bool = True) -> None:
        self.shown = ""
        self.withdrawals = 0
        self.hearer = Hearer(self._more, self._withdraw, shareable=str, takes_text=takes_text)

    def _more(self, text: str) -> None:
        self.shown += text

    def _withdraw(self) -> None:
        self.shown = ""
        self.withdrawals += 1


@given(st.text(), st.data())
def test_a_message_is_heard_as_its_arguments_come(message: str, data: st.DataObject) -> None:
    arguments = json.dumps({"message": message, "request_heartbeat": False})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=8)))
    ear = Ear()
    for cut in cuts:
        ear.hearer.hear("", [("send_message", arguments[:cut])])
        assert message.encode(errors="replace").decode().startswith(ear.shown.rstrip("\N{REPLACEMENT CHARACTER}"))
    ear.hearer.hear("", [("send_message", arguments)])
    assert ear.shown.encode(errors="replace") == message.encode(errors="replace")


def test_a_text_is_taken_back_when_a_call_follows_it() -> None:
    ear = Ear()
    ear.hearer.hear("Let me", [])
    ear.hearer.hear("Let me look.", [])
    assert ear.shown == "Let me look."
    ear.hearer.hear("Let me look.", [("conversation_search", "{")])
    assert (ear.shown, ear.withdrawals) == ("", 1)
    ear.hearer.hear("Let me look.", [("conversation_search", "{"), ("send_message", '{"message": "It is')])
    assert ear.shown == "It is"


def test_thoughts_are_not_heard() -> None:
    ear = Ear(takes_text=False)
    ear.hearer.hear("I wonder.", [])
    assert not ear.shown
    ear.hearer.withdraw()
    assert ear.withdrawals == 0, "nothing was heard"


def test_arguments_that_are_no_object_say_nothing() -> None:
    ear = Ear()
    for arguments in ('"message"', "message", '["message"]', '{"message": 7}', '{"message": ["a"]}'):
        ear.hearer.hear("", [("send_message", arguments)])
    assert not ear.shown

"""Where prompts go."""

from __future__ import annotations

from pagefault.runtime.models.budget.affinity import prefix_of, ranked
from pagefault.runtime.models.budget.settings import Endpoint
from pagefault.runtime.values import AgentId, Message, ModelRequest

ENDPOINTS = [Endpoint(name) for name in ("a", "b", "c", "d")]
PREFIXES = [str(number).encode() for number in range(1_000)]


def test_what_is_lost_or_added_moves_no_prompt_between_the_others() -> None:
    for prefix in PREFIXES:
        before = ranked(prefix, ENDPOINTS)
        assert sorted(before) == ["a", "b", "c", "d"]
        assert ranked(prefix, ENDPOINTS[:3]) == tuple(name for name in before if name != "d")
        assert ranked(prefix, ENDPOINTS[::-1]) == before


def test_the_beginning_of_a_prompt_decides() -> None:
    def request(agent: str, system: str, text: str) -> ModelRequest:
        return ModelRequest(AgentId(agent), (Message("system", system), Message("user", text)), (), 1, 1)

    assert prefix_of(request("a", "same", "x")) == prefix_of(request("b", "same", "y"))
    assert prefix_of(request("a", "one", "x")) != prefix_of(request("a", "two", "x"))
    assert prefix_of(ModelRequest(AgentId("a"), (), (), 1, 1)) == prefix_of(request("a", "", "x"))

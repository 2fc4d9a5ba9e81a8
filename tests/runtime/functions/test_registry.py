"""What is registered, and what one agent was given."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from pagefault.runtime.errors import FunctionDefinitionError, UnknownName
from pagefault.runtime.functions import BUILTINS, GRANTS, AgentFunctions, Registry, SystemSettings, function
from pagefault.runtime.kernel.functions import CallProblem, FunctionTable


@function
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


@function(name="add")
def other_add(left: int) -> int:
    """Add one."""
    return left + 1


def undecorated(text: str) -> str:
    """Do."""
    return text


def test_the_builtins_are_there() -> None:
    registry = Registry()
    assert set(registry.names()) == set(BUILTINS)
    assert registry.get("send_message") is BUILTINS["send_message"]


def test_adding_is_idempotent_and_names_are_unique() -> None:
    registry = Registry()
    assert registry.add(add) is registry.add(add) is registry.get("add")
    with pytest.raises(FunctionDefinitionError, match=r"'add'.*other_add.*registered already.*test_registry:add"):
        registry.add(other_add)
    with pytest.raises(FunctionDefinitionError, match=r"@pagefault\.function"):
        registry.add(undecorated)


def test_the_name_of_a_set_is_taken() -> None:
    @function(name="memgpt")
    def clash() -> str:
        """Do."""
        return ""

    with pytest.raises(FunctionDefinitionError, match="name of a set"):
        Registry().add(clash)


def test_an_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(UnknownName, match=r"'send_mesage'.*'send_message'"):
        Registry().get("send_mesage")
    with pytest.raises(UnknownName, match=r"there are: .*send_message"):
        Registry().get("qqqq")


@pytest.fixture
def module() -> object:
    made = ModuleType("pagefault_test_functions")
    vars(made).update(add=add, undecorated=undecorated, number=3)
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_functions_by_module_and_name(module: ModuleType) -> None:
    registry = Registry()
    assert registry.resolve("pagefault_test_functions:add") is registry.get("add")
    assert registry.resolve("add").function is add
    with pytest.raises(UnknownName, match="has no 'sub'"):
        registry.resolve("pagefault_test_functions:sub")
    with pytest.raises(FunctionDefinitionError, match=r"@pagefault\.function"):
        registry.resolve("pagefault_test_functions:undecorated")
    with pytest.raises(UnknownName, match="no module 'pagefault_no_such_module'"):
        registry.resolve("pagefault_no_such_module:add")
    for wrong in (":add", ".relative:add"):
        with pytest.raises(UnknownName, match=r"package\.module:name"):
            registry.resolve(wrong)


def test_a_whole_module(module: ModuleType) -> None:
    registry = Registry()
    assert [each.name for each in registry.import_module(module)] == ["add"]
    assert [each.name for each in registry.import_module("pagefault_test_functions")] == ["add"]


def test_a_table_is_the_kernels_protocol() -> None:
    table: FunctionTable = Registry().table("memgpt")
    assert [each.name for each in table.schemas()] == list(GRANTS["memgpt"])
    spec = table.get("send_message")
    assert spec is not None
    assert spec.chains == "never"
    assert spec.system_call is not None
    assert table.get("set_timer") is None


def test_the_grant_decides() -> None:
    registry = Registry()
    registry.add(add)
    table = registry.table(["send_message", add, "send_message"])
    assert [each.name for each in table.schemas()] == ["send_message", "add"]
    assert table.check("add", '{"left": 1, "right": 2}') == ({"left": 1, "right": 2}, False)
    with pytest.raises(CallProblem, match=r'You may not call "page_in": it was not given to you.*send_message, add'):
        table.check("page_in", "{}")
    with pytest.raises(CallProblem, match=r'There is no function "send_mesage".*Did you mean "send_message"'):
        table.check("send_mesage", "{}")
    with pytest.raises(CallProblem, match='There is no function "dance"') as caught:
        table.check("dance", "{}")
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(UnknownName):
        table.definition("page_in")


def test_no_functions_at_all() -> None:
    with pytest.raises(CallProblem, match="You have no functions"):
        Registry().table([]).check("send_message", "{}")


def test_a_hostile_name_is_shown_short_and_clean() -> None:
    with pytest.raises(CallProblem) as caught:
        Registry().table([]).check("\ud800" + "x" * 100_000, "{}")
    assert len(str(caught.value)) < 300
    str(caught.value).encode()


def test_equal_grants_share_one_table() -> None:
    registry = Registry()
    first = registry.table(["memgpt", "page_in"])
    assert registry.table(["memgpt", "page_in"]) is first
    assert registry.table(("memgpt", "memgpt", "page_in")) is first
    assert registry.table(["memgpt"]) is not first
    assert registry.table(["memgpt", "page_in"], SystemSettings(archival_mode="words")) is not first
    assert first.schemas() is registry.table(["memgpt", "page_in"]).schemas()
    assert registry.table("memgpt") is registry.table(["memgpt"])
    # What is registered later is known to tables that are made later.
    plain = registry.table("send_message")
    with pytest.raises(CallProblem, match='There is no function "add"'):
        plain.check("add", "{}")
    registry.add(add)
    with pytest.raises(CallProblem, match='You may not call "add"'):
        registry.table("send_message").check("add", "{}")
    del first, plain
    gc.collect()
    assert len(registry._tables) == len(registry._asked) == 0


def test_chains_decide_without_a_heartbeat() -> None:
    @function(chains="always")
    def always() -> str:
        """Do."""
        return ""

    table = AgentFunctions([always.definition, BUILTINS["send_message"]])
    assert table.check("always", "{}") == ({}, True)
    assert table.check("send_message", '{"message": "x", "request_heartbeat": true}') == ({"message": "x"}, False)

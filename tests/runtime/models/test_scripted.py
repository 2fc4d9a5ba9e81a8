"""Minds that are Python functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pagefault.runtime.errors import ConfigError, ModelMalformed, UnknownName, UsageError
from pagefault.runtime.functions import Registry
from pagefault.runtime.models import Act, Mind, ScriptedProcessor, Timing, call, mind, nothing, say
from pagefault.runtime.models.scripted import find_mind, make_reply
from pagefault.runtime.values import AgentId, FunctionCall, Message, ModelReply, ModelRequest


def request(text: str = "hello") -> ModelRequest:
    return ModelRequest(AgentId("ana"), (Message("user", text),), (), 5, 10)


@mind("test-echo")
def echo(asked: ModelRequest) -> Act:
    return say(asked.messages[-1].text)


async def reply_of(script: Any, asked: ModelRequest | None = None) -> ModelReply:
    return await ScriptedProcessor(script).reply(asked or request())


async def test_what_a_mind_may_return() -> None:
    hello = '{"message":"Grüße"}'
    assert (await reply_of(lambda _: say("Grüße"))).calls[0].arguments == hello
    assert await reply_of(lambda _: nothing()) == await reply_of(lambda _: None) == ModelReply()
    assert await reply_of(lambda _: "just words") == ModelReply(text="just words")
    whole = ModelReply(text="x", finish="length")
    assert await reply_of(lambda _: whole) is whole
    several = await reply_of(lambda _: ["first", call("search", heartbeat=True, query="tea"), "then", say("x")])
    assert several.text == "first\nthen"
    assert [each.name for each in several.calls] == ["search", "send_message"]
    assert several.calls[0].arguments == '{"query":"tea","request_heartbeat":true}'
    assert several.finish == "calls"


async def test_a_mind_may_wait() -> None:
    async def slow(_: ModelRequest) -> Act:
        return say("later")

    assert (await reply_of(slow)).calls[0].arguments == '{"message":"later"}'


async def test_call_ids_follow_from_the_request() -> None:
    one = await reply_of(echo)
    assert one == await reply_of(echo)
    other = await reply_of(echo, request("bye"))
    assert other.calls[0].id != one.calls[0].id
    ids = [each.id for each in make_reply(request(), [say("a"), say("b")]).calls]
    assert len(set(ids)) == 2


async def test_the_calls_are_what_functions_take() -> None:
    table = Registry().table("all")
    reply = make_reply(request(), [say("x"), call("conversation_search", heartbeat=True, query="tea")])
    assert [table.check(each.name, each.arguments) for each in reply.calls] == [
        ({"message": "x"}, False),
        ({"query": "tea", "page": 0}, True),
    ]


@pytest.mark.parametrize("wrong", [3, [3], {"a": 1}.values()])
async def test_other_things_are_no_reply(wrong: object) -> None:
    with pytest.raises(ModelMalformed, match="TypeError"):
        await reply_of(lambda _: wrong)


async def test_a_failing_mind_is_named() -> None:
    def broken(_: ModelRequest) -> Act:
        raise ZeroDivisionError("oops")

    with pytest.raises(ModelMalformed, match=r"test_scripted:.*broken failed: ZeroDivisionError: oops"):
        await reply_of(broken)


async def test_errors_of_models_pass_through() -> None:
    def tired(_: ModelRequest) -> Act:
        raise ModelMalformed("as it is")

    with pytest.raises(ModelMalformed, match=r"^as it is$"):
        await reply_of(tired)


async def test_latency_is_taken_on_the_given_clock() -> None:
    slept: list[float] = []

    async def sleep_ms(delay_ms: float) -> None:
        slept.append(delay_ms)

    await ScriptedProcessor(echo, latency_ms=250, timing=Timing(sleep_ms=sleep_ms)).reply(request())
    assert slept == [250]
    with pytest.raises(ConfigError, match=r"model\.latency_ms"):
        ScriptedProcessor(echo, latency_ms=-1)


def test_minds_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pagefault_test_minds")
    vars(module).update(echo=echo, number=3)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert find_mind("test-echo") is echo
    assert find_mind("pagefault_test_minds:echo") is echo
    assert ScriptedProcessor("test-echo").name == "scripted:test-echo"
    for reference, words in {
        "test-ecko": "test-echo",
        "pagefault_no_such_module:echo": "no module",
        "pagefault_test_minds:missing": "no function 'missing'",
        "pagefault_test_minds:number": "no function 'number'",
        "pagefault_test_minds:": "no function ''",
        ":echo": "package.module:function",
    }.items():
        with pytest.raises(UnknownName, match=words):
            find_mind(reference)


def test_a_name_has_one_mind() -> None:
    assert mind("test-echo")(echo) is echo

    def other(_: ModelRequest) -> Act:
        return say("")

    with pytest.raises(UsageError, match=r"test-echo.*registered already"):
        mind("test-echo")(other)


async def test_a_reply_without_waiting() -> None:
    assert ScriptedProcessor(echo).reply_now(request()) == await ScriptedProcessor(echo).reply(request())
    whole = ModelReply(text="x")
    assert ScriptedProcessor(lambda _: whole).reply_now(request()) is whole

    async def slow(_: ModelRequest) -> Act:
        return say("later")

    def disguised(asked: ModelRequest) -> Any:
        return slow(asked)

    assert ScriptedProcessor(echo, latency_ms=1).reply_now(request()) is None
    for script in (slow, disguised):
        processor = ScriptedProcessor(script)
        assert processor.reply_now(request()) is None
        assert (await processor.reply(request())).calls[0].arguments == '{"message":"later"}'

    def broken(_: ModelRequest) -> Act:
        raise ZeroDivisionError("oops")

    with pytest.raises(ModelMalformed, match="ZeroDivisionError: oops"):
        ScriptedProcessor(broken).reply_now(request())


async def test_objects_can_be_minds() -> None:
    class Counter:
        def __init__(self) -> None:
            self.asked = 0

        def __call__(self, _: ModelRequest) -> Act:
            self.asked += 1
            return say(str(self.asked))

    counter: Mind = Counter()
    processor = ScriptedProcessor(counter)
    assert "Counter" in processor.name
    await processor.reply(request())
    reply = await processor.reply(request())
    assert reply.calls == (FunctionCall(reply.calls[0].id, "send_message", '{"message":"2"}'),)
    await processor.close()


def test_a_program_that_was_started_may_be_imported_again_by_its_name(tmp_path: Path) -> None:
    program = tmp_path / "village_of_one.py"
    program.write_text(
        "import pagefault as pf\n\n"
        "@pf.mind('hermit')\n"
        "def hermit(request):\n"
        "    return pf.nothing()\n\n"
        "if __name__ == '__main__':\n"
        "    import village_of_one\n"
        "    print('twice')\n"
    )
    ran = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert ran.stdout == "twice\n"

"""Processors by name and options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pagefault.runtime.errors import ConfigError, UnknownName
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models import ReplayProcessor, ScriptedProcessor, make_processor
from pagefault.runtime.models.openai import OpenAIProcessor
from pagefault.runtime.models.retry import RetryPolicy
from pagefault.runtime.values import ModelReply, ModelRequest

LOCAL = ("base_url", "http://127.0.0.1:1/v1")


def test_a_scripted_one() -> None:
    processor = make_processor(ModelSettings("scripted:nothing", (("latency_ms", "5"), ("window_tokens", "4096"))))
    assert isinstance(processor, ScriptedProcessor)
    assert processor.window_tokens == 4096
    assert isinstance(make_processor("scripted:pagefault.runtime.models.scripted:nothing"), ScriptedProcessor)


def test_an_openai_one_with_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "from-other")
    options = {
        "base_url": "http://127.0.0.1:1/v1/", "api_key_env": "OTHER_KEY", "functions": "text", "stream": "true",
        "strict": "False",
        "temperature": "0.5", "top_p": "1", "seed": "3", "window_tokens": "8192", "body_bytes_max": "1000",
        "extra_body": '{"top_k": 1}', "attempts_max": "2", "deadline_ms": "3000",
    }  # fmt: skip
    processor = make_processor(ModelSettings("openai:org/model:7b", tuple(options.items())))
    assert isinstance(processor, OpenAIProcessor)
    assert processor.name == "openai:org/model:7b"
    assert processor.base_url == "http://127.0.0.1:1/v1"
    assert processor.window_tokens == 8192
    assert processor._retry == RetryPolicy(attempts_max=2, deadline_ms=3000)
    assert processor._sampling == {"temperature": 0.5, "top_p": 1.0, "seed": 3}
    assert processor._extra_body == {"top_k": 1}
    assert processor._stream
    assert processor._api_key == "from-other"


def test_a_key_has_no_place_in_a_definition() -> None:
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        make_processor(ModelSettings("openai:m", (LOCAL, ("api_key", "sk-secret"))))
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"model\.api_key_env: found 'NOT_SET'"):
        make_processor(ModelSettings("openai:m", (LOCAL, ("api_key_env", "NOT_SET"))))


def test_a_recorded_one() -> None:
    recordings = {"monday": [ModelReply("x")]}
    assert isinstance(make_processor("replay:monday", recordings=recordings), ReplayProcessor)
    with pytest.raises(UnknownName, match="'tuesday' is not there; there are: monday"):
        make_processor("replay:tuesday", recordings=recordings)
    with pytest.raises(UnknownName, match="there are: none"):
        make_processor("replay:monday")


@pytest.mark.parametrize("name", ["", "openai", "gpt-4", "anthropic:x", ":x"])
def test_an_unknown_kind(name: str) -> None:
    with pytest.raises(UnknownName, match=r"openai:MODEL.*scripted:MIND"):
        make_processor(name)


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [
        ("openai:", LOCAL, "model.name"),
        ("openai:m", ("temprature", "1"), "found 'temprature'.*temperature"),
        ("openai:m", ("temperature", "warm"), "model.temperature: found 'warm', allowed: a number"),
        ("openai:m", ("seed", "1.5"), "model.seed: found '1.5', allowed: a whole number"),
        ("openai:m", ("stream", "yes"), "model.stream: found 'yes', allowed: true or false"),
        ("openai:m", ("extra_body", "[1]"), "model.extra_body.*a JSON object"),
        ("openai:m", ("attempts_max", "0"), "model.attempts_max: found 0"),
        ("openai:m", ("base_url", "nowhere"), "model.base_url: found 'nowhere'"),
        ("scripted:nothing", ("temperature", "1"), "found 'temperature'.*latency_ms, window_tokens"),
        ("replay:x", ("temperature", "1"), "no options"),
    ],
)
def test_wrong_options_are_told(name: str, option: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_processor(ModelSettings(name, (option,)))


def test_the_processor_for_servers_is_loaded_only_for_those_who_need_it() -> None:
    script = (
        "import sys; from pagefault.runtime.models import make_processor; make_processor('scripted:nothing');"
        "print('pagefault.runtime.models.openai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


class Mute:
    """A processor that says nothing."""

    window_tokens = 0

    def __init__(self, name: str = "mute") -> None:
        self.name = name

    async def reply(self, request: ModelRequest) -> ModelReply:
        return ModelReply()

    async def close(self) -> None: ...


async def test_a_processor_of_ones_own_is_imported_by_its_name() -> None:
    place = f"processor:{__name__}:Mute"
    made = make_processor(ModelSettings(place, (("name", "still"),)))
    assert isinstance(made, Mute)
    assert made.name == "still"
    for wrong, said in (
        ("processor:no_such_module:Mute", "no module 'no_such_module'"),
        (f"processor:{__name__}:Loud", "has no 'Loud'"),
        (f"processor:{__name__}:", "has no ''"),
        ("processor::x", "write it as"),
    ):
        with pytest.raises(UnknownName, match=said):
            make_processor(wrong)
    with pytest.raises(ConfigError, match=r"model\.options.*unexpected"):
        make_processor(ModelSettings(place, (("volume", "11"),)))
    with pytest.raises(ConfigError, match=r"has no name, window_tokens, reply, close"):
        make_processor("processor:builtins:dict")

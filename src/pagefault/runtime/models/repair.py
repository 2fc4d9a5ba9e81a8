"""Reads function calls out of text, for models that were not taught the protocol or whose server does not
parse what they write.

The forms that open models use, in the order in which they are looked for: tags (Hermes and Qwen
``<tool_call>``, Llama ``<function=…>`` and ``<|python_tag|>``, Mistral ``[TOOL_CALLS]``, DeepSeek, harmony), JSON in
fences or bare, and Python call syntax.  Cut or sloppy JSON is mended by ``json-repair``; arguments are
validated afterwards like any others.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import json_repair

from pagefault.runtime.values import FunctionCall, FunctionSchema

REPAIR_CHARS_MAX = 65_536
_CALLS_MAX = 32
_BRACES_MAX = 200
_DEPTH_MAX = 6
_PUNCTUATION = " ,;`()[]\n"

_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_THOUGHT_END = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_TAGGED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"<(?:tool_call|function_call)>(?P<body>.*?)(?:</(?:tool_call|function_call)>|\Z)",
        r"<\|tool_call(?:_start)?\|?>(?P<body>.*?)(?:<\|?/?tool_call(?:_end)?\|>|\Z)",
        r"<function=(?P<name>[\w.-]+)>(?P<body>.*?)(?:</function>|\Z)",
        r"<\uff5ctool\u2581call\u2581begin\uff5c>(?:function)?<\uff5ctool\u2581sep\uff5c>(?P<name>[\w.-]+)(?P<body>.*?)(?:<\uff5ctool\u2581call\u2581end\uff5c>|\Z)",
        r"<\|channel\|>\w+ to=functions\.(?P<name>[\w-]+).*?<\|message\|>(?P<body>.*?)(?:<\|call\|>|\Z)",
        r"\[TOOL_CALLS\]\s*(?P<name>[\w-]+)\[ARGS\](?P<body>.*?)(?=\[TOOL_CALLS\]|\Z)",
        r"\[TOOL_CALLS\](?P<body>.*)",
        r"<\|python_tag\|>(?P<body>.*?)(?:<\|eom_id\|>|<\|eot_id\|>|\Z)",
    )
)
_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(?P<body>.*?)(?:```|\Z)", re.DOTALL)
_XML_PARAMETER = re.compile(r"<parameter=(?P<key>[\w.-]+)>\n?(?P<value>.*?)\n?</parameter>", re.DOTALL)
_NAMES = ("name", "function", "function_name", "tool", "tool_name", "action")
_ARGUMENTS = ("arguments", "args", "parameters", "params", "kwargs", "input", "action_input")
_LISTS = ("tool_calls", "function_calls", "calls", "tools")
_THOUGHTS = ("thought", "thoughts", "inner_thoughts", "reasoning")
_BESIDES = frozenset({"type", "id", *_THOUGHTS})
_PYTHON_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(slots=True)
class ParsedText:
    """Calls found in a text, and the text around them.  ``repaired``: their JSON had to be mended."""

    text: str
    calls: list[FunctionCall] = field(default_factory=list)
    repaired: bool = False


def parse_calls(
    text: str, functions: Sequence[FunctionSchema], *, whole: bool = False, mend: bool = True
) -> ParsedText:
    """Find calls in a model's text.

    Args:
        text: the model's answer.
        functions: those that it may call; a call without a tag counts only if it names one of them.
        whole: take untagged calls only where there is no other text, as a text *about* a call is no call.
        mend: repair broken JSON; not to be done when the answer is known to be cut, as half a message would
            be sent as if it were a whole one.
    """
    known = {each.name: each for each in functions}
    answer = _THOUGHT_END.sub("", _THINKING.sub("", text)).strip()
    for family in (_Reader.tagged, _Reader.fenced, _Reader.bare, _Reader.python):
        reader = _Reader(known, mend=mend)
        spans = list(family(reader, answer))
        if spans:
            outcome, beside = reader.outcome(answer, spans)
            if family is _Reader.tagged or not (whole and beside):
                return outcome
    return ParsedText(answer)


def read_call_object(text: str, functions: Sequence[FunctionSchema]) -> tuple[str, list[FunctionCall]] | None:
    """The thought and call of one well-formed JSON object; ``None`` if the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    thought = next((found[key] for key in _THOUGHTS if isinstance(found.get(key), str)), "")
    calls = _Reader({each.name: each for each in functions}, mend=False).calls_of(found, anyone=True)
    return thought, calls


@dataclass(slots=True)
class _Span:
    start: int
    end: int
    calls: list[FunctionCall]


class _Reader:
    def __init__(self, functions: Mapping[str, FunctionSchema], *, mend: bool) -> None:
        self._functions = functions
        self._mend = mend
        self._repaired = False
        self._thoughts: list[str] = []

    def outcome(self, text: str, spans: list[_Span]) -> tuple[ParsedText, bool]:
        """What the spans amount to, and whether there are words beside them."""
        around, last = [], 0
        for span in spans:
            around.append(text[last : span.start].strip())
            last = span.end
        around.append(text[last:].strip())
        around = [part for part in around if part.strip(_PUNCTUATION)]
        calls = [call for span in spans for call in span.calls][:_CALLS_MAX]
        return ParsedText("\n".join([*self._thoughts, *around]), calls, self._repaired), bool(around)

    # --- families -----------------------------------------------------------------------------------

    def tagged(self, text: str) -> Iterator[_Span]:
        for pattern in _TAGGED:
            spans = [(match, self._tag_calls(match)) for match in pattern.finditer(text)]
            if any(calls for _, calls in spans):
                yield from (_Span(*match.span(), calls) for match, calls in spans if calls)
                return

    def _tag_calls(self, match: re.Match[str]) -> list[FunctionCall]:
        body = match["body"].strip()
        name = match.groupdict().get("name")
        if name is None:
            calls = self._calls_in(body, anyone=True)
            if not calls:
                inner = _TAGGED[2].search(body)
                calls = self._tag_calls(inner) if inner else [call for span in self.python(body) for call in span.calls]
            return calls
        parameters = {
            each["key"]: self._value(name, each["key"], each["value"]) for each in _XML_PARAMETER.finditer(body)
        }
        if parameters:
            return [self._call(name, parameters)]
        fenced = _FENCE.search(body)
        found, mended = self._load(fenced["body"] if fenced else body) if body else ({}, False)
        if not isinstance(found, dict):
            return []
        self._repaired = self._repaired or mended
        return [self._call(name, found)]

    def fenced(self, text: str) -> Iterator[_Span]:
        for match in _FENCE.finditer(text):
            body = match["body"].strip()
            calls = self._calls_in(body) or [call for span in self.python(body) for call in span.calls]
            if calls:
                yield _Span(*match.span(), calls)

    def bare(self, text: str) -> Iterator[_Span]:
        decoder = json.JSONDecoder(strict=False)
        place = 0
        for _ in range(_BRACES_MAX):
            opening = re.compile(r"[{\[]").search(text, place)
            if opening is None:
                return
            start = opening.start()
            try:
                found, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                # One repair takes in all that follows.
                calls = self.calls_of(self._mended(text[start:])) if self._looks_like_call(text, start) else []
                if calls:
                    self._repaired = True
                    yield _Span(start, len(text), calls)
                    return
                place = start + 1
                continue
            calls = self.calls_of(found)
            if calls:
                yield _Span(start, end, calls)
            place = end

    def python(self, text: str) -> Iterator[_Span]:
        """Calls such as ``send_message(message="Hello")`` that begin a line."""
        if not self._functions:
            return
        names = "|".join(map(re.escape, self._functions))
        pattern = re.compile(rf"^[ \t>*\-\[`]*(?:print\()?({names})\(|(?<=\), )({names})\(", re.MULTILINE)
        place = 0
        while (match := pattern.search(text, place)) is not None:
            place = match.end()
            end = _closing(text, match.end() - 1)
            call = self._python_call(text[match.start(match.lastindex or 1) : end]) if end else None
            if call is not None:
                place = len(text) - len(text[end:].lstrip("])`"))
                yield _Span(match.start(), place, [call])

    # --- pieces -------------------------------------------------------------------------------------

    def _looks_like_call(self, text: str, start: int) -> bool:
        head = text[start : start + 400]
        return any(f'"{key}"' in head or f"'{key}'" in head for key in _NAMES) or any(
            name in head for name in self._functions
        )

    def _calls_in(self, body: str, *, anyone: bool = False) -> list[FunctionCall]:
        found, mended = self._load(body)
        calls = self.calls_of(found, anyone=anyone)
        self._repaired = self._repaired or (mended and bool(calls))
        return calls

    def _load(self, text: str) -> tuple[Any, bool]:
        """The JSON in a text, and whether it had to be mended."""
        try:
            return json.loads(text, strict=False), False
        except (ValueError, RecursionError):
            return self._mended(text), True

    def _mended(self, text: str) -> Any:
        if not self._mend or len(text) > REPAIR_CHARS_MAX or not re.match(r"\s*[{\[]", text):
            return None
        try:
            return json_repair.loads(text, skip_json_loads=True)
        except (ValueError, RecursionError):
            return None

    def calls_of(self, found: object, *, anyone: bool = False, depth: int = 0) -> list[FunctionCall]:
        """Calls in parsed JSON; ``anyone`` takes names that are no function's, for the model to be told."""
        if depth > _DEPTH_MAX:
            return []
        if isinstance(found, list):
            return [call for each in found for call in self.calls_of(each, anyone=anyone, depth=depth + 1)]
        if not isinstance(found, dict):
            return []
        for key in (*_LISTS, "function", "tool_call", "function_call"):
            if isinstance(found.get(key), list | dict):
                calls = self.calls_of(found[key], anyone=anyone, depth=depth + 1)
                if calls:
                    self._note_thought(found)
                    return calls
        for key in _NAMES:
            name = found.get(key)
            if isinstance(name, str) and (anyone or name in self._functions):
                self._note_thought(found)
                return [self._call(name, _arguments(found, key))] if name else []
        if len(found) == 1:
            ((name, arguments),) = found.items()
            if name in self._functions and isinstance(arguments, dict):
                return [self._call(name, arguments)]
        return []

    def _note_thought(self, found: Mapping[str, Any]) -> None:
        self._thoughts.extend(found[key] for key in _THOUGHTS if isinstance(found.get(key), str))

    def _call(self, name: str, arguments: object) -> FunctionCall:
        if isinstance(arguments, str):
            text = arguments.strip()
            names = self._parameters(name)
            if not text.startswith("{") and len(names) == 1:
                text = json.dumps({names[0]: arguments}, ensure_ascii=False)
            return FunctionCall("", name, text or "{}")
        return FunctionCall("", name, json.dumps({} if arguments is None else arguments, ensure_ascii=False))

    def _properties(self, name: str) -> dict[str, Any]:
        if name not in self._functions:
            return {}
        properties: dict[str, Any] = json.loads(self._functions[name].parameters).get("properties", {})
        return properties

    def _parameters(self, name: str) -> list[str]:
        return [each for each in self._properties(name) if each != "request_heartbeat"]

    def _value(self, name: str, key: str, text: str) -> object:
        """The value of an XML parameter: text where text is wanted, else JSON if it reads as such."""
        if "string" in json.dumps(self._properties(name).get(key, {}).get("type")):
            return text
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    def _python_call(self, text: str) -> FunctionCall | None:
        try:
            call = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return None
        try:
            positional = [_literal(each) for each in call.args]
            arguments = {each.arg: _literal(each.value) for each in call.keywords if each.arg is not None}
            if len(positional) == 1 and isinstance(positional[0], dict):
                arguments |= positional[0]
            elif positional:
                names = self._parameters(call.func.id)
                if len(positional) != 1 or len(names) != 1:
                    return None
                arguments[names[0]] = positional[0]
            # A pair of JSON's escapes for one character is two halves to Python.
            encoded = json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode("utf-16", "surrogatepass")
            return FunctionCall("", call.func.id, encoded.decode("utf-16", "replace"))
        except (ValueError, TypeError, RecursionError, MemoryError):
            return None


def _arguments(found: Mapping[str, Any], name_key: str) -> object:
    """The arguments beside a name: under one of their usual keys, or everything else that is there."""
    for key in _ARGUMENTS:
        if key in found and key != name_key:
            return found[key]
    return {key: value for key, value in found.items() if key != name_key and key not in _BESIDES}


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.Name) and node.id.lower() in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[node.id.lower()]
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        return {
            str(ast.literal_eval(key)): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key
        }
    value = ast.literal_eval(node)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError("no JSON value")
    return value


def _closing(text: str, opening: int) -> int:
    """The place after the parenthesis that closes the one at ``opening``; 0 if there is none."""
    depth, quote, place = 0, "", opening
    limit = min(len(text), opening + REPAIR_CHARS_MAX)
    while place < limit:
        character = text[place]
        if quote:
            if character == "\\":
                place += 1
            elif text.startswith(quote, place):
                place += len(quote) - 1
                quote = ""
        elif character in "\"'":
            quote = character * 3 if text.startswith(character * 3, place) else character
            place += len(quote) - 1
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return 0

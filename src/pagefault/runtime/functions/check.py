"""Checks a call's raw arguments, and tells the model how to mend those that do not fit.

Every word of a problem is ours: it is made from error codes and from the function's schema, never from a
library's message, because replaying a journal must give the same text years later.
"""

from __future__ import annotations

import math
import re
from typing import Any

import jiter
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pagefault.runtime.functions.schema import HEARTBEAT, Shape
from pagefault.runtime.functions.strict import allowed, canonical_json, node_at
from pagefault.runtime.kernel.functions import CallProblem

ARGUMENTS_CHARS_MAX = 262_144
PROBLEM_CHARS_MAX = 1_500
FOUND_CHARS_MAX = 80
MISTAKES_MAX = 8
_POSITION = re.compile(r" at line (\d+) column (\d+)$")
_HEARTBEATS = {"true": True, "false": False}


def check_arguments(name: str, shape: Shape, arguments: str) -> tuple[dict[str, Any], bool]:
    """Parse and validate.

    Args:
        name: the function's, for the text of a problem.
        shape: its signature.
        arguments: JSON text as the model wrote it; blank text means no arguments.

    Returns:
        JSON-like arguments, one for every parameter (defaults filled in), and whether a heartbeat was asked for.

    Raises:
        CallProblem: they do not fit; the text is at most ``PROBLEM_CHARS_MAX`` characters.
    """
    if len(arguments) > ARGUMENTS_CHARS_MAX:
        raise CallProblem(
            f"The arguments of {name} have {len(arguments)} characters, allowed: {ARGUMENTS_CHARS_MAX}. "
            "Do it in several smaller calls."
        )
    text = arguments if arguments and not arguments.isspace() else "{}"
    given = _parse(name, shape, text)
    heartbeat = _heartbeat(name, given.pop(HEARTBEAT, None))
    try:
        shape.validator.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise CallProblem(_mistakes(name, shape, error.errors(include_url=False))) from None
    if not shape.schema.strict and not _finite(given):
        raise CallProblem(f"A number in the arguments of {name} is too large for JSON; write a smaller one.")
    for each in shape.parameters:
        # A null for an optional parameter means its default, unless null is a value of its type.
        if each.optional and given.get(each.name) is None and not (each.nullable and each.name in given):
            given[each.name] = each.default
    return given, heartbeat


def _parse(name: str, shape: Shape, text: str) -> dict[str, Any]:
    try:
        given = jiter.from_json(text.encode(), allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except (ValueError, UnicodeEncodeError) as error:
        raise CallProblem(
            f"The arguments of {name} are not valid JSON: {_json_problem(text, error)} Write {_example(shape)}"
        ) from None
    if not isinstance(given, dict):
        raise CallProblem(
            f"The arguments of {name} must be one JSON object, found {_kind(given)}. Write {_example(shape)}"
        )
    return given


def _heartbeat(name: str, found: object) -> bool:
    if found is None or isinstance(found, bool):
        return bool(found)
    # Small models quote it; there is no doubt about what is meant.
    if isinstance(found, str) and found.strip().lower() in _HEARTBEATS:
        return _HEARTBEATS[found.strip().lower()]
    raise CallProblem(
        f"Wrong arguments for {name}:\n- {HEARTBEAT}: found {_shown(found)}, allowed: true or false\n"
        "Mend this and call again."
    )


def _json_problem(text: str, error: ValueError) -> str:
    """What is wrong with it and where, without the parser's own words."""
    if isinstance(error, UnicodeEncodeError):
        return "it holds half of a character (a lone surrogate)."
    message = str(error)
    place = _POSITION.search(message)
    if message.startswith("EOF"):
        return "it ends too early; close every string, list and object."
    if message.startswith("Detected duplicate key"):
        return f"the key {message.split(chr(34))[1]!r} is there twice."
    if message.startswith("recursion limit"):
        return "lists or objects are nested too deeply."
    if message.startswith("number out of range"):
        return "a number is too large."
    if not place:
        return "it cannot be read."
    line, column = int(place[1]), int(place[2])
    before = text.split("\n")[line - 1].encode()[: max(column - 1, 0)].decode(errors="ignore")
    return f"there is a mistake in line {line} after {before[-30:]!r}."


def _mistakes(name: str, shape: Shape, errors: list[ErrorDetails]) -> str:
    lines: dict[str, None] = {}
    for error in errors:
        lines.setdefault(_mistake(shape, error))
    shown = list(lines)[:MISTAKES_MAX]
    if len(lines) > MISTAKES_MAX:
        shown.append(f"- and {len(lines) - MISTAKES_MAX} more")
    text = f"Wrong arguments for {name}:\n" + "\n".join(shown) + "\nMend this and call again."
    return text if len(text) <= PROBLEM_CHARS_MAX else text[: PROBLEM_CHARS_MAX - 2] + " …"


def _mistake(shape: Shape, error: ErrorDetails) -> str:
    location = error["loc"]
    unknown = error["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    steps = [*_followed(shape, location[:-1]), location[-1]] if unknown else _followed(shape, location)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    path = path.lstrip(".")[:FOUND_CHARS_MAX] or "arguments"
    expected = allowed(node_at(shape.rules, location), shape.rules.get("$defs", {}))
    if error["type"] == "missing":
        return f"- {path}: missing, allowed: {expected}"
    if unknown:
        names = ", ".join(each.name for each in shape.parameters) or "none"
        there = f"the arguments are: {names}" if len(location) == 1 else f"allowed there: {expected}"
        return f"- {path}: there is no such argument; {there}"
    reason = ""
    if error["type"] in ("value_error", "assertion_error"):
        reason = f" ({error.get('ctx', {}).get('error', '')})"
    return f"- {path}: found {_shown(error['input'])}, allowed: {expected}{reason}"


def _followed(shape: Shape, location: tuple[int | str, ...]) -> list[int | str]:
    """The location without the names of union members that pydantic puts into it."""
    kept: list[int | str] = list(location[:1])
    for index in range(1, len(location)):
        here, there = node_at(shape.rules, location[:index]), node_at(shape.rules, location[: index + 1])
        if isinstance(location[index], int) or here is not there:
            kept.append(location[index])
    return kept


def _shown(found: object) -> str:
    """A wrong value as JSON, cut, with its kind where that helps."""
    try:
        text = canonical_json(found)
    except (TypeError, ValueError, RecursionError):
        text = f"a value of type {type(found).__name__}"
    if len(text) > FOUND_CHARS_MAX:
        text = f"{text[:FOUND_CHARS_MAX]}… ({len(text)} characters)"
    return f"the string {text}" if isinstance(found, str) else text


def _kind(found: object) -> str:
    kinds = {str: "a string", list: "a list", bool: "true or false", type(None): "null"}
    return kinds.get(type(found), "a number")


def _example(shape: Shape) -> str:
    """The form of a right call."""
    names = [f'"{each.name}": …' for each in shape.parameters]
    if f'"{HEARTBEAT}"' in shape.schema.parameters:
        names.append(f'"{HEARTBEAT}": true or false')
    return "one JSON object: {" + ", ".join(names) + "}"


def _finite(value: object) -> bool:
    """No infinity came in through an exponent, at any depth (the parser bounds the depth)."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, list) else True

"""Writes docs/api.md from the docstrings of what users import: ``python docs/generate.py``.

A test holds the file to what this gives, so it is made anew whenever a public docstring changes.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

TARGET = Path(__file__).with_name("api.md")
MODULES = (
    ("pagefault", "What a program imports. `Local` and `Cluster` have the same methods."),
    ("pagefault.policies.contract", "All that a policy needs: [how to write one](policies.md)."),
    ("pagefault.policies.registry", "Policies by their names."),
    ("pagefault.runtime.errors", "Everything that is raised, as a tree."),
    ("pagefault.runtime.models.protocols", "What a model of your own is: [how to write one](how-to/own-model.md)."),
    ("pagefault.runtime.store.protocols", "What a store of your own is: [how to write one](how-to/own-store.md)."),
    ("pagefault.cluster.worlds.contract", "What a world is: [how to write one](worlds.md)."),
    ("pagefault.runtime.testing.fake_openai", "A server that misbehaves on command, for tests of your own."),
)
LINE_CHARS, DEFAULT_CHARS = 100, 60
_ROLE = re.compile(r":(?:class|meth|func|mod|data|attr|exc):`~?([^`]+)`")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def document() -> str:
    """The whole reference."""
    parts = [
        "# Reference\n",
        "Made from the docstrings by `python docs/generate.py`. What is not here is not public, and may change.\n",
    ]
    for name, about in MODULES:
        module = importlib.import_module(name)
        parts += [f"## `{name}`\n", f"{about}\n", *_module(module)]
    return "\n".join(parts)


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, else what is defined in it and has no underscore."""
    given = getattr(module, "__all__", None)
    if given is not None:
        return sorted(given)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
    )


def _module(module: ModuleType) -> Iterator[str]:
    for name in public_names(module):
        value = getattr(module, name)
        if inspect.isclass(value):
            yield from _class(name, value)
        elif callable(value):
            yield from _function("###", name, value)


def _class(name: str, value: type) -> Iterator[str]:
    yield f"### `{name}`\n"
    bases = [base.__name__ for base in value.__bases__ if base not in (object, typing.Protocol, typing.Generic)]
    shown = [base for base in bases if not base.startswith("_")]
    if shown:
        yield f"*Is a* {', '.join(f'`{base}`' for base in shown)}.\n"
    if _has_own_signature(value):
        yield _signature(name, value)
    yield _text(value)
    if issubclass(value, enum.Enum):
        yield "\n".join(f"- `{member.name}`" for member in value) + "\n"
    for method, function in sorted(_methods(value)):
        yield from _function("####", f"{name}.{method}", function)


def _methods(value: type) -> Iterator[tuple[str, Any]]:
    for base in value.__mro__:
        if not base.__module__.startswith("pagefault"):
            continue
        for name, member in vars(base).items():
            if name.startswith("_") or getattr(value, name, None) is not getattr(base, name, None):
                continue
            function = member.fget if isinstance(member, property) else inspect.unwrap(getattr(base, name))
            if inspect.isfunction(function) and inspect.getdoc(function):
                yield name, function


def _function(level: str, name: str, function: Any) -> Iterator[str]:
    yield f"{level} `{name}`\n"
    yield _signature(name.rpartition(".")[2], function)
    yield _text(function)


def _has_own_signature(value: type) -> bool:
    if issubclass(value, enum.Enum | BaseException) or getattr(value, "_is_protocol", False):
        return False
    return dataclasses.is_dataclass(value) or "__init__" in vars(value)


def _signature(name: str, function: Any) -> str:
    """A call as code: on one line if it fits, else a parameter a line."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    given, is_keyword = [], False
    for each in signature.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not is_keyword:
            is_keyword = True
            given.append("*")
        star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        is_keyword = is_keyword or each.kind is each.VAR_POSITIONAL
        kind = "" if each.annotation is each.empty else f": {_name(each.annotation)}"
        default = "" if each.default is each.empty else f" = {_default(each.default)}"
        given.append(f"{star}{each.name}{kind}{default}")
    returned = signature.return_annotation
    end = "" if inspect.isclass(function) or returned is signature.empty else f" -> {_name(returned)}"
    line = f"{name}({', '.join(given)}){end}"
    if len(line) > LINE_CHARS:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in given) + f"){end}"
    return f"```python\n{line}\n```\n"


def _name(annotation: Any) -> str:
    shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return shown.replace("typing.", "").replace("collections.abc.", "")


def _default(value: Any) -> str:
    shown = _ADDRESS.sub("", repr(value)).replace("<factory>", "…")
    return shown if len(shown) <= DEFAULT_CHARS else "…"


def _text(value: Any) -> str:
    text = inspect.getdoc(value) or ""
    text = _ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text).replace("``", "`")
    lines, is_code = [], False
    for line in text.splitlines():
        if line.strip() == "::" or line.endswith("::"):
            lines.append(line.rstrip(":") + (":" if line.strip() != "::" else ""))
            continue
        if line.startswith("    ") and not is_code and (not lines or not lines[-1].strip()):
            lines.append("```text")
            is_code = True
        if is_code and line.strip() and not line.startswith("    "):
            lines.append("```")
            is_code = False
        lines.append(line)
    if is_code:
        lines.append("```")
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")

"""Which functions exist, and which of them one agent was given."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

from pagefault.runtime.errors import FunctionDefinitionError, UnknownName
from pagefault.runtime.functions.builtin import BUILTINS, GRANTS
from pagefault.runtime.functions.check import FOUND_CHARS_MAX, check_arguments
from pagefault.runtime.functions.decorator import definition_of
from pagefault.runtime.functions.definition import DEFAULT_SETTINGS, FunctionDefinition, SystemSettings
from pagefault.runtime.kernel.functions import CallProblem, FunctionSpec
from pagefault.runtime.values import FunctionSchema

Grant = Iterable[str | FunctionDefinition | Callable[..., Any]]
"""What an agent may call: names of functions, names of sets (``memgpt``, ``all``, ``mcp:SERVER``), ``"module:name"``,
functions."""
MCP = "mcp"
"""The kind of sets that MCP servers bring."""


class AgentFunctions:
    """The functions of a grant, as the kernel's
    :class:`~pagefault.runtime.kernel.functions.FunctionTable`.

    It holds nothing of any agent, so all agents with the same grant share one.  ``known`` are the names of
    functions that exist but may not be given: only the wording of a refusal depends on it.
    """

    __slots__ = ("__weakref__", "_definitions", "_known", "_schemas", "_specs")

    def __init__(
        self,
        definitions: Iterable[FunctionDefinition],
        *,
        known: frozenset[str] = frozenset(),
        settings: SystemSettings = DEFAULT_SETTINGS,
    ) -> None:
        self._definitions = {each.name: each for each in definitions}
        self._known = known
        self._specs = {name: each.spec(settings) for name, each in self._definitions.items()}
        self._schemas = tuple(each.schema for each in self._specs.values())

    def get(self, name: str) -> FunctionSpec | None:
        """The function of that name, if it was given."""
        return self._specs.get(name)

    def schemas(self) -> tuple[FunctionSchema, ...]:
        """What the model is shown, in the order of the grant."""
        return self._schemas

    def definition(self, name: str) -> FunctionDefinition:
        """What a host needs to run a function that was given.

        Raises:
            UnknownName: it was not.
        """
        try:
            return self._definitions[name]
        except KeyError:
            raise UnknownName(self._refusal(name)) from None

    def check(self, name: str, arguments: str) -> tuple[dict[str, Any], bool]:
        """Parse and validate raw JSON arguments.

        Returns:
            JSON-like arguments with defaults filled in, and whether the chain is to go on after the result
            (``request_heartbeat`` where the function has it, else what its ``chains`` says).

        Raises:
            CallProblem: a sentence for the model on what was wrong and how to mend it.
        """
        definition = self._definitions.get(name)
        if definition is None:
            raise CallProblem(self._refusal(name))
        checked, heartbeat = check_arguments(name, definition.shape, arguments)
        if definition.chains != "requested":
            heartbeat = definition.chains == "always"
        return checked, heartbeat

    def _refusal(self, name: str) -> str:
        shown = name.encode(errors="replace").decode()
        shown = shown if len(shown) <= FOUND_CHARS_MAX else f"{shown[:FOUND_CHARS_MAX]}…"
        given = list(self._definitions)
        yours = f"Your functions are: {', '.join(given)}." if given else "You have no functions."
        if name in self._known:
            return f'You may not call "{shown}": it was not given to you. {yours}'
        near = difflib.get_close_matches(name[:FOUND_CHARS_MAX], given, n=1, cutoff=0.6)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        return f'There is no function "{shown}".{hint} {yours}'


class Registry:
    """The functions of a program: the built-in ones, and those that are added."""

    def __init__(self) -> None:
        self._definitions: dict[str, FunctionDefinition] = dict(BUILTINS)
        self._groups: dict[str, tuple[str, ...]] = {}
        self._other_names: dict[str, str] = {}
        # By what a grant amounts to, and by how it was written, which is quicker to compare.
        self._tables: WeakValueDictionary[tuple[object, ...], AgentFunctions] = WeakValueDictionary()
        self._asked: WeakValueDictionary[tuple[object, ...], AgentFunctions] = WeakValueDictionary()

    def names(self) -> tuple[str, ...]:
        """Every registered name, sorted."""
        return tuple(sorted(self._definitions))

    def add(self, function: FunctionDefinition | Callable[..., Any]) -> FunctionDefinition:
        """Register a decorated function; the same one again changes nothing.

        Raises:
            FunctionDefinitionError: it is not decorated, or its name is taken by another function.
        """
        definition = definition_of(function)
        if definition.name in GRANTS:
            raise FunctionDefinitionError(
                f"function {definition.name!r}: this is the name of a set of functions; "
                "give another with @function(name=...)"
            )
        present = self._definitions.get(definition.name)
        if present is definition:
            return definition
        if present is not None and present.target != definition.target:
            raise FunctionDefinitionError(
                f"function {definition.name!r} of {definition.target} is registered already, by {present.target}; "
                "give one of them another name with @function(name=...)"
            )
        self._definitions[definition.name] = definition
        self._asked.clear()  # the same names may mean something else now
        return definition

    def add_group(self, group: str, definitions: Mapping[str, FunctionDefinition]) -> None:
        """Register functions that can be granted together by a name such as ``mcp:files``; the keys are what else they
        may be called in a grant.  A group of that name is replaced.

        Raises:
            FunctionDefinitionError: a name is taken by another function.
        """
        self._groups[group] = tuple(self.add(each).name for each in definitions.values())
        self._other_names.update((other, each.name) for other, each in definitions.items())
        self._asked.clear()

    def get(self, name: str) -> FunctionDefinition:
        """A registered function by its name.

        Raises:
            UnknownName: there is none; the text suggests near ones.
        """
        definition = self._definitions.get(name)
        if definition is None:
            near = difflib.get_close_matches(name, [*self._definitions, *GRANTS], n=3)
            raise UnknownName(
                f"function {name!r} is not registered; "
                + (f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(self.names())}")
            )
        return definition

    def resolve(self, reference: str) -> FunctionDefinition:
        """A registered name, or ``"module:name"`` of a decorated function, which is imported and registered.

        Raises:
            UnknownName: no such name, module or attribute.
            FunctionDefinitionError: what is there is not a decorated function.
        """
        module_name, colon, attribute = reference.partition(":")
        if not colon:
            return self.get(self._other_names.get(reference, reference))
        if module_name == MCP:
            there = ", ".join(sorted(self._groups)) or "none"
            raise UnknownName(f"functions {reference!r}: no MCP server of this name is set up; there are: {there}")
        found: Any = _import(module_name, reference)
        for step in attribute.split("."):
            if not hasattr(found, step):
                raise UnknownName(f"function {reference!r}: module {module_name!r} has no {attribute!r}")
            found = getattr(found, step)
        return self.add(found)

    def import_module(self, module: str | ModuleType) -> tuple[FunctionDefinition, ...]:
        """Register every decorated function of a module, in the order of the file.

        Raises:
            UnknownName: there is no such module.
        """
        loaded = _import(module, module) if isinstance(module, str) else module
        found = (getattr(value, "definition", None) for value in vars(loaded).values())
        return tuple(self.add(each) for each in found if isinstance(each, FunctionDefinition))

    def table(self, grant: Grant, settings: SystemSettings = DEFAULT_SETTINGS) -> AgentFunctions:
        """The functions of a grant; equal grants share one table for as long as anybody holds it.

        Raises:
            UnknownName: the grant names something that is not there.
        """
        asked = ((grant,) if isinstance(grant, str) else tuple(grant), settings)
        table = self._asked.get(asked)
        if table is None:
            table = self._asked[asked] = self._table(*asked)
        return table

    def _table(
        self, grant: tuple[str | FunctionDefinition | Callable[..., Any], ...], settings: SystemSettings
    ) -> AgentFunctions:
        definitions: dict[str, FunctionDefinition] = {}
        for each in grant:
            sets = GRANTS.get(each) or self._groups.get(each) if isinstance(each, str) else None
            names: Iterable[Any] = (each,) if sets is None else sets
            for name in names:
                definition = self.resolve(name) if isinstance(name, str) else self.add(name)
                definitions.setdefault(definition.name, definition)
        known = frozenset(self._definitions)
        key = (tuple(definitions.values()), known, settings)
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = AgentFunctions(definitions.values(), known=known, settings=settings)
        return table


def _import(module_name: str, reference: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UnknownName(f"function {reference!r}: there is no module {error.name!r} to import") from error
    except (ValueError, TypeError) as error:  # an empty or relative module name
        raise UnknownName(f"function {reference!r}: write it as 'package.module:name'") from error

"""The command line's table of contents: every command by name, with its module, which only its own use loads.

Loading all of them takes seconds: Ray, model clients and embedders are behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from pagefault.cluster.console.configuration import FILE_NAME, defaults_of, read_configuration

TYPED = "pagefault.typed"
HERE = "pagefault.cluster.console"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is: a module of this folder, and the function or group in it; ``help`` is its first sentence."""

    module: str
    name: str
    help: str

    def load(self, name: str) -> Any:
        """The command that is called ``name``."""
        found: Any = getattr(import_module(f"{HERE}.{self.module}"), self.name)
        group = found if isinstance(found, typer.Typer) else _alone(found)
        command: Any = get_command(group)
        command.name = name
        return command


def _alone(function: Callable[..., None]) -> typer.Typer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    return app


COMMANDS: Mapping[str, Entry] = {
    "ps": Entry("ps", "ps", "List agents: where they are, what they do, what waits for them."),
    "metrics": Entry("metrics", "metrics", "Show what a fleet has counted and measured; nobody is woken for it."),
    "doctor": Entry(
        "doctor", "doctor", "Look at this machine as a fleet will need it, in 5 s; with --model, try out a model."
    ),
    "ui": Entry("ui", "ui", "Show a fleet in the browser: who does what, what each remembers and why, step by step."),
    "ingest": Entry(
        "ingest", "ingest", "Read documents into a shared space that agents search with archival_memory_search."
    ),
    "send": Entry("send", "send", "Send a message to an agent of a fleet."),
    "drain": Entry("send", "drain", "Move all agents off a host or node, so that it can be taken away."),
    "stop": Entry("send", "stop", "End a fleet that runs, for everybody: every agent is saved first."),
    "inspect": Entry(
        "inspect",
        "inspect",
        "Look into an agent's context: what is in it, what it costs, why it is there and what goes next.",
    ),
    "top": Entry(
        "top",
        "top",
        "Watch a fleet: who does what, how full contexts are, what waits; open an agent, pause it, talk to it.",
    ),
    "replay": Entry(
        "past",
        "replay",
        "Show an agent as it was at any step, or live a whole run again: without a model, disturbing nobody.",
    ),
    "fork": Entry(
        "past",
        "fork",
        "Make a new agent that begins as another one was at any step: what if it had another policy, persona, model?",
    ),
    "topics": Entry("mail", "topics", "List topics with the number of agents that hear each."),
    "run": Entry("live", "run", "Run a world on a fleet of agents, and print what came of it."),
    "resume": Entry("live", "resume", "Go on with a run that was stopped, or killed at any moment."),
    "chat": Entry("live", "chat", "Talk with one agent that remembers; its memory is in --folder, for the next time."),
    "version": Entry("version", "version", "Say the versions that matter when something is reported."),
    "lab": Entry("lab_worlds", "lab", "Replay page-reference traces through policies, and compare them."),
    "eval": Entry(
        "evaluate",
        "evaluate",
        "Put the tasks of the MemGPT paper to a model, with Pagefault's memory and with others beside it.",
    ),
    "config": Entry("config", "config", "Settings: what they are, and where each was said."),
    "dead": Entry("mail", "dead", "Messages between agents that could not be delivered."),
    "store": Entry("store", "store", "Look after what a fleet keeps, while it does not run."),
    "approvals": Entry("approvals", "approvals", "Calls that wait for an operator to agree."),
    "memory": Entry("memory", "memory", "Where memories came from; tidy them up, put them back, or take them out."),
    "mcp": Entry("mcp", "mcp", "Tools of MCP servers: what is offered, and what is accepted."),
    "agent": Entry("agent", "agent", "Agents from Agent Files (.af, Letta's format), and into them."),
}
"""In the order in which they are shown."""


class Loading(MutableMapping[str, Any]):
    """Commands by name, each loaded when it is first looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = COMMANDS[name].load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """The whole command line, which keeps what was typed for :func:`use_configuration`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Loading()
        self._only_lists = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As its base, whose contexts are of a class without a public name."""
        ctx.meta[TYPED] = tuple(args[: args.index("--")] if "--" in args else args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as its base has it
        """Their names; its base looks at the commands themselves."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """As its base; where commands are only listed, no more than their names and what they are for."""
        if self._only_lists:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name].help)
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As its base, without loading what is listed."""
        self._only_lists = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._only_lists = False


def use_configuration(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Option("--config", help=f"The settings' file; {FILE_NAME} of this folder else.")
    ] = None,
) -> None:
    """Virtual memory for fleets of LLM agents."""
    name = context.invoked_subcommand
    if name is None or (name == "config" and file is None):
        return  # config says itself what is wrong, and with which file
    found = read_configuration(file)
    context.obj = found
    group: Any = context.command
    context.default_map = defaults_of(found, {name: group.commands[name]}, context.meta.get(TYPED, ()))

"""The console script: the command line as a whole, and what its errors look like."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console

from pagefault.cluster.console.commands import LazyGroup, use_configuration
from pagefault.cluster.console.ends import FAILED, INTERRUPTED, USAGE, Stopped, say
from pagefault.cluster.logs import configure_logging
from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import InternalError, PagefaultError, UsageError

app = typer.Typer(
    cls=LazyGroup,
    callback=use_configuration,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Virtual memory for fleets of LLM agents.",
)


def main() -> None:
    """The console script: every error of ours is one line and a code other than 0."""
    console = Console(stderr=True)
    configure_logging("error")  # what a command says on standard output is its result alone
    try:
        # Not standalone: a wrong option is then an error like any other, and not a box of five lines.
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except (typer.Abort, KeyboardInterrupt):  # before anything was begun that would say more
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:
        text = getattr(error, "format_message", error.__str__)()
        say(console, f"error: {text.replace('Value error, ', '')}")
        sys.exit(USAGE)
    except Stopped as stopped:
        sys.exit(128 + stopped.signal)
    except InternalError as error:
        say(console, f"internal error, please report it with this story: {error}", as_is=True)
        sys.exit(FAILED)
    except (UsageError, PolicyError) as error:
        say(console, f"error: {error}")
        sys.exit(USAGE)
    except MissingExtra as error:
        say(console, f"error: {error}")
        sys.exit(FAILED)
    except PagefaultError as error:
        say(console, f"error: {error}")
        sys.exit(FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left; say nothing at exit
        sys.exit(FAILED)
    except OSError as error:  # a temporary folder that cannot be made, a fleet that does not start in time
        say(console, f"error: {type(error).__name__}: {error}")
        sys.exit(FAILED)

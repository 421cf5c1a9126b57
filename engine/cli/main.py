"""Assembles the commands and turns every expected error into one sentence and exit code 1."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from engine import __version__
from engine.cli.commands import MARKUP, Root
from engine.cli.output import emit_json, fail, note
from engine.common.program import SCRIPT, program
from engine.errors import WorkbenchError
from engine.text import sentence, shown

if TYPE_CHECKING:
    from pydantic import ValidationError

app = typer.Typer(
    name="engine",
    help="Choose which SE network to deploy: export, build, benchmark, evaluate, compare.",
    no_args_is_help=True,
    cls=Root,
    rich_markup_mode=MARKUP,
    add_completion=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"{SCRIPT} {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version, and exit."
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0 only on success, 2 for a wrong call."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(arguments, prog_name=program(), standalone_mode=False)
        return int(code or 0)
    except typer.TyperException as error:
        fail(sentence(error.format_message()))
        note(f"`{program()} COMMAND --help` shows how it is called.")
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        note("Stopped.")
        return 130
    except BrokenPipeError:
        return _closed()
    except Exception as error:
        return _fail(_explain(error), arguments)


def _explain(error: Exception) -> str:
    """The sentence of an error; what explains it is loaded when there is one."""
    from pydantic import ValidationError

    from engine.common.error_sentences import error_message

    if isinstance(error, ValidationError):
        return explain_validation(error)
    return error_message(error) or _unexpected(error)


def explain_validation(error: ValidationError) -> str:
    """The first thing that is wrong with a request, as a sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "request"
    message = str(first["msg"]).removeprefix("Value error, ")
    return sentence(f"{where}: {message} (given: {shown(first['input'])}).")


def _closed() -> int:
    """Whoever read the output has left, as `| head` does: nothing is wrong, and nothing to say."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _unexpected(error: Exception) -> str:
    """A defect of the workbench: one line here, the rest where it can be found."""
    import traceback

    from engine.common.error_sentences import unexpected_error_message
    from engine.config import settings

    told = "".join(traceback.format_exception(error))
    try:
        path = settings().folder("logs") / "errors.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {told}\n")
    except (OSError, WorkbenchError):
        return f"{unexpected_error_message(error)}. This is a bug in the workbench.\n{told}"
    message = unexpected_error_message(error)
    return f"{message}. This is a bug in the workbench; the traceback is in {path}."


def _fail(text: str, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        emit_json({"error": text})
    fail(text)
    return 1

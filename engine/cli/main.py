"""The entry point of the command line: every expected error becomes one sentence, exit code 1."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from engine import __version__
from engine.cli.commands import MARKUP, RootGroup
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
    cls=RootGroup,
    rich_markup_mode=MARKUP,
    add_completion=False,
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"{SCRIPT} {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options before the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0 on success, 1 on an error, 2 for wrong usage, 130 when stopped."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(arguments, prog_name=program(), standalone_mode=False)
        return int(code or 0)
    except typer.TyperException as error:
        fail(sentence(error.format_message()))
        note(f"`{program()} COMMAND --help` shows the arguments and options.")
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        note("Stopped.")
        return 130
    except BrokenPipeError:
        return _output_closed()
    except Exception as error:
        return _report_error(_message_of(error), arguments)


def _message_of(error: Exception) -> str:
    """The message of an error; modules that explain errors are imported only here."""
    from pydantic import ValidationError

    from engine.common.error_sentences import error_message

    if isinstance(error, ValidationError):
        return validation_message(error)
    return error_message(error) or _log_unexpected(error)


def validation_message(error: ValidationError) -> str:
    """The first problem of a request, as a sentence with the field and the given value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "request"
    message = str(first["msg"]).removeprefix("Value error, ")
    return sentence(f"{where}: {message} (given: {shown(first['input'])}).")


def _output_closed() -> int:
    """The reader of stdout has closed the pipe, as `| head` does: not an error, exit code 141."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _log_unexpected(error: Exception) -> str:
    """The message of a bug in the workbench; the traceback goes to logs/errors.log."""
    import traceback

    from engine.common.error_sentences import unexpected_error_message
    from engine.config import settings

    trace = "".join(traceback.format_exception(error))
    try:
        path = settings().folder("logs") / "errors.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {trace}\n")
    except (OSError, WorkbenchError):
        return f"{unexpected_error_message(error)}. This is a bug in the workbench.\n{trace}"
    message = unexpected_error_message(error)
    return f"{message}. This is a bug in the workbench; the traceback is in {path}."


def _report_error(text: str, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        emit_json({"error": text})
    fail(text)
    return 1

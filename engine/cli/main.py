"""Assembles the commands and turns every expected error into one sentence and exit code 1."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress

import typer
from pydantic import ValidationError

from engine.cli import (
    artifacts,
    benchmark,
    classify,
    compare,
    dataset,
    evaluation,
    home,
    imports,
    jobs,
    models,
    npz,
    peak,
    profile,
    results,
    runs,
    scoring,
    valprep,
    vamc,
    vamp,
    weights,
)
from engine.cli.output import emit_json, fail, note
from engine.config import settings
from engine.errors import WorkbenchError
from engine.faults import sentence_of, unexpected
from engine.text import sentence, shown

app = typer.Typer(
    name="engine",
    help="Choose which SE network to deploy: export, build, benchmark, evaluate, compare.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
)
models.add_to(app)
runs.add_to(app)
benchmark.add_to(app)
classify.add_to(app)
results.add_to(app)
peak.add_to(app)
profile.add_to(app)
compare.add_to(app)
vamp.add_to(app)
npz.add_to(app)
scoring.add_to(app)
valprep.add_to(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(dataset.app, name="dataset")
app.add_typer(weights.app, name="weights")
app.add_typer(evaluation.app, name="evaluation")
app.add_typer(imports.app, name="import")
app.add_typer(vamc.app, name="vamc")
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(home.app, name="home")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0 only on success, 2 for a wrong call."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(arguments, prog_name="python -m engine", standalone_mode=False)
        return int(code or 0)
    except ValidationError as error:
        return _fail(explain_validation(error), arguments)
    except typer.TyperException as error:
        fail(sentence(error.format_message()))
        note("`python -m engine COMMAND --help` shows how it is called.")
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        note("Stopped.")
        return 130
    except BrokenPipeError:
        return _closed()
    except Exception as error:
        return _fail(sentence_of(error) or _unexpected(error), arguments)


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
    told = "".join(traceback.format_exception(error))
    try:
        path = settings().folder("logs") / "errors.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {told}\n")
    except (OSError, WorkbenchError):
        return f"{unexpected(error)}. This is a defect of the workbench.\n{told}"
    return f"{unexpected(error)}. This is a defect of the workbench; the rest is in {path}."


def _fail(text: str, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        emit_json({"error": text})
    fail(text)
    return 1

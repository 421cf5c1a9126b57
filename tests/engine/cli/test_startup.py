"""What a command or a job does not need is not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.commands import COMMANDS, load_command
from engine.config import REPOSITORY
from engine.worker import HANDLERS

pytestmark = pytest.mark.integration

RUNTIMES = {"torch", "torchvision", "timm", "onnx", "onnxruntime", "cv2"}
TABLES = {"pandas", "streamlit", "plotly", "matplotlib"}
HEAVY = {*RUNTIMES, *TABLES, "numpy", "PIL", "scipy"}
# What each kind of job does without; all do without what no job needs.
NOT_FOR = {
    "prepare_dataset": {"onnx", "onnxruntime", "alembic"},
    "export": {"alembic"},
    "build": {"alembic"},
    "benchmark": {"onnx", "PIL", "alembic"},
    "evaluate_shard": {"onnx", "alembic"},
    "evaluate": {"onnx", "alembic"},
    "peak": {"PIL", "alembic"},
    "profile": {"PIL", "alembic"},
    "excitations": {"alembic"},
    "layers": {"alembic"},
    "draws": {"alembic"},
}
NO_JOB = {"torch", "torchvision", "timm", "cv2", "scipy", *TABLES}


def loaded_by(code: str, home: Path) -> set[str]:
    """The packages that a fresh process has imported when it has run `code`."""
    report = "import sys; print('\\nLOADED', *{n.partition('.')[0] for n in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=REPOSITORY,
        env={**os.environ, "SENET_HOME": str(home), "SENET_HOST_LOCK": str(home / "host.lock")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.rpartition("LOADED")[2].split())


def called(*words: str) -> str:
    return f"from engine.cli.main import main\nassert main({list(words)}) == 0"


def test_the_list_of_commands_needs_none_of_them(tmp_path: Path) -> None:
    loaded = loaded_by(called("--help"), tmp_path)
    assert "typer" in loaded
    assert not loaded & {*HEAVY, "sqlalchemy", "pydantic", "alembic"}


def test_jobs_are_listed_without_what_they_compute_with(tmp_path: Path) -> None:
    loaded_by(called("jobs", "list"), tmp_path)  # makes the database
    loaded = loaded_by(called("jobs", "list"), tmp_path)
    assert "sqlalchemy" in loaded
    assert not loaded & {*HEAVY, "alembic"}


@pytest.mark.parametrize("module", ["engine.jobs.dispatcher", "engine.worker"])
def test_who_runs_jobs_knows_nothing_of_their_work(module: str, tmp_path: Path) -> None:
    assert not loaded_by(f"import {module}", tmp_path) & {*HEAVY, "alembic"}


@pytest.mark.parametrize("kind", HANDLERS)
def test_a_job_loads_only_what_its_kind_needs(kind: str, tmp_path: Path) -> None:
    code = f"from engine.worker import handler_of\nhandler_of({str(kind)!r})"
    assert not loaded_by(code, tmp_path) & (NO_JOB | NOT_FOR[kind])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_the_first_of_its_help(name: str) -> None:
    assert (load_command(name).help or "").splitlines()[0] == COMMANDS[name].summary

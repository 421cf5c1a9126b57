"""`vamc build` and `vamc compile`: the vendor's build files, as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli import options as o
from engine.cli.follow import finish_job, finish_run, submit_noting
from engine.cli.output import emit_json, note
from engine.cli.parsing import read_weights
from engine.jobs.dispatcher import ensure_dispatcher
from engine.jobs.results import artifact_digests
from engine.runs.compile import dataset_job
from engine.runs.request import RunRequest
from engine.specs import TargetName
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.vacc.build_file import BuildFile, read_build_file
from engine.vacc.deploy import deploy
from engine.vacc.requests import calibration_of, request_of

app = typer.Typer(no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="A build file of either schema.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", help="Which network a checkpoint belongs to, where its name does not say."
    ),
]
WeightsOption = Annotated[
    str | None, typer.Option(help="Instead of the file's: `pretrained`, `random`, or a path.")
]


@app.command("build")
def build(
    file: File,
    model: Model = None,
    weights: WeightsOption = None,
    weights_key: o.WeightsKey = None,
    target: o.Int8Target = TargetName.AUTO,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Builds a model from a build file; the result goes where the file says.

    Example: `python -m engine vamc build timm_senet.yaml`
    """
    return _build(_read(file, model, weights, weights_key, target), file, detach, json)


@app.command("compile")
def compile_(
    file: File,
    model: Model = None,
    weights: WeightsOption = None,
    weights_key: o.WeightsKey = None,
    target: o.Int8Target = TargetName.AUTO,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """The same as `vamc build`, under its newer name.

    Example: `python -m engine vamc compile timm_senet.yaml`
    """
    return _build(_read(file, model, weights, weights_key, target), file, detach, json)


@dataclass(frozen=True, slots=True)
class _Asked:
    file: BuildFile
    request: RunRequest


def _read(
    path: Path, model: str | None, weights: str | None, key: str | None, target: TargetName
) -> _Asked:
    """What the build file asks for, with what is overridden; its keys of no effect are named."""
    file = read_build_file(path)
    for text in file.ignored:
        note(f"Note: {text}")
    for text in file.warnings:
        note(f"Warning: {text}")
    given = read_weights(weights, key=key) if weights else None
    asked = request_of(file, model, given, key)
    for text in asked.remarks:
        note(f"Note: {text}")
    return _Asked(file, asked.request.model_copy(update={"target": target}))


def _build(made: _Asked, path: Path, detach: bool, json: bool) -> int:
    asked, request = made.file, made.request
    url = prepare_database()
    calibration = calibration_of(asked)
    if calibration and finish_job(dataset_job(calibration)).status != JobStatus.SUCCEEDED:
        return 1
    run_id = submit_noting(request)
    if detach:
        ensure_dispatcher()
        text = f"Queued as run {run_id}; the same command writes {asked.prefix}.* when it is done."
        emit_json({"run": run_id}) if json else note(text)
        return 0
    jobs = finish_run(run_id)
    built = artifact_digests(job.result for job in jobs)
    if any(job.status != JobStatus.SUCCEEDED for job in jobs):
        return 1
    artifact = artifacts.find_by_digest(built[-1], url)
    written = deploy(artifact, asked.prefix, _about(asked, path))
    document = {
        "run": run_id,
        "artifact": artifact.digest,
        "files": [str(file) for file in written],
        "ignored": asked.ignored,
        "warnings": asked.warnings,
    }
    if json:
        emit_json(document)
    else:
        note(f"Built {artifact.model_id} in {artifact.precision}: {asked.prefix}.onnx")
    return 0


def _about(asked: BuildFile, path: Path) -> dict[str, object]:
    return {"name": asked.name, "input": asked.input_name, "build_file": path.name}

"""`vamc build` and `vamc compile`: builds described by the vendor's build files (YAML)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli import options as o
from engine.cli.follow import finish_job, finish_run, submit_with_warnings
from engine.cli.output import emit_json, note
from engine.cli.parsing import read_weights
from engine.jobs.dispatcher import ensure_dispatcher
from engine.jobs.results import artifact_digests
from engine.runs.compile import dataset_job
from engine.specs import TargetName
from engine.store import artifacts
from engine.store.database import prepare_database
from engine.vacc.build_file import read_build_file
from engine.vacc.deploy import deploy
from engine.vacc.requests import build_request, calibration_dataset

app = typer.Typer(no_args_is_help=True)
File = Annotated[
    Path,
    typer.Argument(help="Build file (YAML) of either schema: frontend/backend, or model/engine."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Model of the checkpoint, such as timm/seresnet50. Default: identified from the file.",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="Weights instead of those in the build file: `pretrained`, `random`, or a path."
    ),
]


@app.command(
    "compile",
    help="""Does the same as `vamc build`; this is the newer name.

    Example: `python -m engine vamc compile timm_senet.yaml`
    """,
)
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
    """Builds a model from a build file, and writes it to the workspace of the file.

    The files are `<workspace>/<name>/mod.onnx` and `mod.json`; `vamp -m` takes that prefix. Keys of
    the vendor's chip have no effect here, and are listed.

    Example: `python -m engine vamc build timm_senet.yaml`
    """
    build_file = read_build_file(file)
    for text in build_file.ignored:
        note(f"Note: {text}")
    for text in build_file.warnings:
        note(f"Warning: {text}")
    override = read_weights(weights, key=weights_key) if weights else None
    resolved = build_request(build_file, model, override, weights_key)
    for text in resolved.remarks:
        note(f"Note: {text}")
    # Such a build goes to another device: its speed here would tell nothing.
    request = resolved.request.model_copy(update={"target": target, "compare_fp32": False})
    url = prepare_database()
    calibration = calibration_dataset(build_file)
    if calibration and finish_job(dataset_job(calibration)).status != JobStatus.SUCCEEDED:
        return 1
    run_id = submit_with_warnings(request)
    if detach:
        ensure_dispatcher()
        text = (
            f"Queued as run {run_id}. When it has ended, the same command without --detach writes "
            f"{build_file.prefix}.*."
        )
        emit_json({"run": run_id}) if json else note(text)
        return 0
    jobs = finish_run(run_id)
    digests = artifact_digests(job.result for job in jobs)
    if any(job.status != JobStatus.SUCCEEDED for job in jobs):
        return 1
    artifact = artifacts.find_by_digest(digests[-1], url)
    facts = {"name": build_file.name, "input": build_file.input_name, "build_file": file.name}
    written = deploy(artifact, build_file.prefix, facts)
    document = {
        "run": run_id,
        "artifact": artifact.digest,
        "files": [str(path) for path in written],
        "ignored": build_file.ignored,
        "warnings": build_file.warnings,
    }
    if json:
        emit_json(document)
    else:
        note(f"Built {artifact.model_id} in {artifact.precision}: {build_file.prefix}.onnx")
    return 0

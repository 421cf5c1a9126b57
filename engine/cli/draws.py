"""`draws`: the spread of top-1 over several draws of the calibration images."""

from __future__ import annotations

from typing import Annotated

import typer

from db.enums import JobStatus
from engine.calibration_draws.records import load_draws
from engine.calibration_draws.requests import calibration_of, require_draws
from engine.cli.follow import finish_job
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.datasets.registration import find_dataset
from engine.runs.compile import draws_job
from engine.runtimes.registry import label_of
from engine.specs import DrawsSpec
from engine.store.artifacts import find_by_digest
from engine.store.database import prepare_database


def draws(
    digest: Annotated[
        str, typer.Argument(help="Digest of an int8 build; its first digits are enough.")
    ],
    *,
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="A registered, labeled dataset to evaluate on.")
    ],
    count: Annotated[int, typer.Option("--draws", min=2, max=50, help="Number of draws.")] = 5,
    images: Annotated[
        int | None, typer.Option("--max-images", min=1, help="Max number of images to evaluate on.")
    ] = None,
    json: Json = False,
) -> int:
    """Shows how much top-1 depends on the calibration images: the spread over several draws.

    Builds int8 once for each draw, with the settings of the build and another seed, and evaluates
    each in ONNX Runtime and OpenVINO. Without an accuracy constraint.

    Example: `python -m engine draws 3f2a91 --dataset imagenet-val`
    """
    url = prepare_database()
    artifact = find_by_digest(digest, url)
    require_draws(artifact, find_dataset(calibration_of(artifact, 0).dataset, url))
    evaluated = find_dataset(dataset, url)
    spec = DrawsSpec(
        artifact=artifact.digest,
        dataset=evaluated.name,
        dataset_digest=evaluated.digest,
        draws=count,
        images=images,
    )
    job = finish_job(draws_job(spec, artifact.model_id))
    found = load_draws(artifact.digest)
    if job.status != JobStatus.SUCCEEDED or found is None:
        return 1
    if json:
        emit_json(found.dump())
        return 0
    emit_table(
        f"{found.model_id} int8: images correct by calibration seed",
        ["runtime", *(f"seed {seed}" for seed in found.seeds)],
        [[label_of(name), *map(str, counts)] for name, counts in found.correct.items()],
    )
    for sentence in (*map(found.sentence, found.correct), *found.notes()):
        note(sentence)
    return 0

"""`layers`: the errors of each layer of an int8 build, as the file says and in each runtime."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from db.enums import JobStatus
from engine.cli.follow import finish_job
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.datasets.registration import find_dataset
from engine.layer_errors.records import LayerErrors, TensorErrors, load_layer_errors
from engine.layer_errors.requests import calibration_dataset, require_int8
from engine.runs.compile import layers_job
from engine.runtimes.registry import label_of
from engine.specs import LayersSpec
from engine.store.artifacts import find_by_digest
from engine.store.database import prepare_database


class LayerOrder(StrEnum):
    """Order of the tensors."""

    SINGLE = "single"
    ACCUMULATED = "accumulated"
    RUNTIME = "runtime"
    GRAPH = "graph"


def layers(
    digest: Annotated[
        str, typer.Argument(help="Digest of an int8 build; its first digits are enough.")
    ],
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Images to use. Default: the calibration dataset."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=1024, help="Number of images.")] = 8,
    order: Annotated[
        LayerOrder,
        typer.Option(
            "--sort",
            help="single: lowest SQNR from exact inputs first. accumulated: of the whole network. "
            "runtime: largest difference from the file first. graph: graph order.",
        ),
    ] = LayerOrder.SINGLE,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Number of tensors to show.")] = 15,
    json: Json = False,
) -> int:
    """Shows the error of each layer of an int8 build: emulated, and in each runtime.

    SQNR against fp32 in dB, higher is better. Single: the layer alone, from exact inputs.
    Accumulated: with the errors of all layers before it.

    Example: `python -m engine layers 3f2a91 --sort runtime`
    """
    url = prepare_database()
    artifact = find_by_digest(digest, url)
    require_int8(artifact)
    images_of = find_dataset(dataset, url) if dataset else calibration_dataset(artifact, url)
    spec = LayersSpec(
        artifact=artifact.digest,
        dataset=images_of.name,
        dataset_digest=images_of.digest,
        images=images,
    )
    job = finish_job(layers_job(spec, artifact.model_id))
    errors = load_layer_errors(artifact.digest)
    if job.status != JobStatus.SUCCEEDED or errors is None:
        return 1
    if json:
        emit_json(errors.dump())
    else:
        _show(errors, order, limit)
    return 0


def _show(errors: LayerErrors, order: LayerOrder, limit: int) -> None:
    runtimes = list(errors.runtimes)
    titles = ["layer", "operator", "SE", "rounding", "file: single", "accumulated"]
    for name in runtimes:
        titles += [f"{label_of(name)}: single", "accumulated", "differing"]
    shown = ordered(errors.tensors, order)[:limit]
    emit_table(
        f"{errors.model_id} int8, SQNR against fp32 in dB, {errors.images} images",
        titles,
        [_row(one, runtimes) for one in shown],
    )
    note(f"{len(shown)} of {len(errors.tensors)} tensors; --limit shows more.")
    note("Differing: share of values more than one level from the file, from the same inputs.")
    if any(one.saturates for one in shown):
        note("*: a hard gate reads it and clips it, so a low SQNR is no loss there.")
    for reason in errors.missing.values():
        note(reason)
    for finding in errors.findings or ["No layer is wrong in the file or in a runtime."]:
        note(finding)


def ordered(tensors: list[TensorErrors], order: LayerOrder) -> list[TensorErrors]:
    """The tensors in an order of the command, first those whose figure is a loss."""

    def figure(one: TensorErrors) -> float:
        if order == LayerOrder.RUNTIME:
            return -max((each.mean_levels for each in one.runtimes.values()), default=0.0)
        value = one.single_db if order == LayerOrder.SINGLE else one.accumulated_db
        return float("inf") if value is None else value

    if order == LayerOrder.GRAPH:
        return list(tensors)
    return sorted(tensors, key=lambda one: (_clipped_on_purpose(one, order), figure(one)))


def _clipped_on_purpose(one: TensorErrors, order: LayerOrder) -> bool:
    """Whether the figure of the order is no loss: these are listed last."""
    return one.saturates and order != LayerOrder.RUNTIME


def _row(one: TensorErrors, runtimes: list[str]) -> list[str]:
    row = [
        f"{one.name}{'*' if one.saturates else ''}",
        one.op,
        one.se_role,
        *map(_db, (one.rounding_db, one.single_db, one.accumulated_db)),
    ]
    for name in runtimes:
        errors = one.runtimes.get(name)
        row += (
            ["–"] * 3
            if errors is None
            else [_db(errors.single_db), _db(errors.accumulated_db), f"{errors.differing:.2%}"]
        )
    return row


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"

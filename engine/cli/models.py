"""Command `models`: the catalog, with published and computed figures."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.catalog.flops_conventions import explanations
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.results import published_frame
from engine.results.formats import to_records
from engine.store.database import prepare_database


def models(
    source: Annotated[
        str | None, typer.Option(help="Only this source: timm, mmcls or ppcls.")
    ] = None,
    json: Json = False,
) -> None:
    """Lists the 25 models of the catalog.

    Computed figures (GMACs, parameters) are counted on the exported graph and are empty until the
    model is exported on this machine. The three sources publish FLOPs by different conventions:
    compare models by GMACs.

    Example: `python -m engine models --source timm`
    """
    frame = published_frame(prepare_database())
    if source is not None:
        frame = frame[frame["source"] == source]
    if json:
        emit_json(to_records(frame))
        return
    columns = (
        "model_id",
        "top1",
        "top5",
        "published_flops_g",
        "compute_gmacs",
        "published_params_m",
        "params_m",
        "convention",
    )
    header = (
        "model",
        "top-1 %",
        "top-5 %",
        "published FLOPs (G)",
        "computed GMACs",
        "published params (M)",
        "computed params (M)",
        "published by",
    )
    rows = frame[list(columns)].astype(object).itertuples(index=False)
    emit_table("Published figures; computed figures appear after an export", header, rows)
    for sentence in explanations():
        note(sentence)
    note("Other timm models are named timm/<name>, ONNX files onnx/<name>.")

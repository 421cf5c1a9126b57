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

HEADERS = {
    "model_id": "model",
    "top1": "top-1 %",
    "top5": "top-5 %",
    "published_flops_g": "published FLOPs (G)",
    "compute_gmacs": "computed GMACs",
    "published_params_m": "published params (M)",
    "params_m": "computed params (M)",
    "convention": "published by",
}


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
    rows = frame[list(HEADERS)].astype(object).itertuples(index=False)
    title = "Published figures; computed figures appear after an export"
    emit_table(title, list(HEADERS.values()), rows)
    for sentence in explanations():
        note(sentence)
    note("Other timm models are named timm/<name>, ONNX files onnx/<name>.")

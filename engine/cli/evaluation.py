"""`evaluation`: lists and shows evaluations, and scores one by other labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.models import Evaluation
from engine.benchmark.placement import placement_text
from engine.cli.options import EvaluationId, Json, RowLimit
from engine.cli.output import emit_json, emit_table, interval_text, note
from engine.evaluation.label_sets import relabel
from engine.evaluation.metrics import EvaluationMetrics, compute_metrics, per_class, top_confusions
from engine.evaluation.per_image import find_evaluation, load_class_names, load_per_image
from engine.results import results_frame
from engine.results.columns import header_of
from engine.results.formats import to_records
from engine.store.database import prepare_database
from engine.store.protocols import EvaluationProtocol

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True)
_LIST_COLUMNS = (
    "evaluation_id", "model_id", "precision", "runtime", "origin", "dataset", "label_set", "images",
    "images_planned", "top1", "top5",
)  # fmt: skip


@app.command("list")
def list_evaluations(json: Json = False) -> None:
    """Lists all evaluations with their numbers, datasets and accuracy.

    Example: `python -m engine evaluation list`
    """
    frame = results_frame(prepare_database())
    frame = frame[frame["evaluation_id"].notna()].drop_duplicates("evaluation_id")
    rows = to_records(frame[list(_LIST_COLUMNS)].sort_values("evaluation_id"))
    if json:
        emit_json(rows)
        return
    for row in rows:
        evaluated, planned = row["images"], row.pop("images_planned")
        partial = f"{evaluated} of {planned}, partial"
        row["images"] = evaluated if evaluated == planned else partial
    header = [header_of(name) for name in _LIST_COLUMNS if name != "images_planned"]
    emit_table("Evaluations", header, [list(r.values()) for r in rows])


@app.command("show")
def show(evaluation: EvaluationId, limit: RowLimit = 10, json: Json = False) -> None:
    """Shows one evaluation: accuracy with intervals, weakest classes, top confusions.

    Example: `python -m engine evaluation show 3`
    """
    row = find_evaluation(evaluation, prepare_database())
    images = load_per_image(row)
    metrics, names = compute_metrics(images), load_class_names(row)
    protocol = EvaluationProtocol.from_row(row)
    overlap = protocol.overlap
    weakest = per_class(images).sort_values(["top1", "class_index"]).head(limit)
    confused = top_confusions(images, limit)
    if json:
        emit_json(
            {
                "evaluation": row.id,
                "dataset": row.dataset_name,
                "images_planned": row.images_planned or row.images,
                **asdict(metrics),
                "seen_before": overlap.dump() if overlap is not None else None,
                "runtime": protocol.runtime,
                "nodes": protocol.nodes,
                "class_matching": protocol.class_matching,
                "per_class": to_records(per_class(images)),
                "confusions": to_records(confused),
            }
        )
        return
    if row.images_planned and row.images < row.images_planned:
        note(f"Partial: the first {row.images:,} of {row.images_planned:,} images.")
    emit_table(
        f"Evaluation {row.id} on {row.dataset_name}",
        ("metric", "value", "95 % interval"),
        _figure_rows(metrics),
    )
    if overlap is not None:
        note(f"Overlap with the calibration set: {overlap.sentence()}.")
    if protocol.runtime is not None:
        placed = placement_text(protocol.nodes)
        note(f"Runtime: {protocol.runtime}" + (f", {placed}." if placed else "."))
    if protocol.class_matching is not None:
        note(f"Class matching: {protocol.class_matching}")
    if not images.labeled:
        note("These images have no labels; `compare` shows how often two evaluations agree.")
        return
    _show_weakest(weakest, names)
    _show_confusions(confused, names)


def _show_weakest(classes: pd.DataFrame, names: tuple[str, ...] | None) -> None:
    rows = [
        (
            row["class_index"],
            _class_name(names, row["class_index"]),
            row["images"],
            row["right"],
            100 * row["top1"],
            interval_text(row["low"], row["high"]),
        )
        for row in classes.to_dict("records")
    ]
    emit_table(
        "Weakest classes", ("class", "name", "images", "correct", "top-1 %", "95 % interval"), rows
    )


def _show_confusions(pairs: pd.DataFrame, names: tuple[str, ...] | None) -> None:
    rows = [
        (
            row["label"],
            _class_name(names, row["label"]),
            row["predicted"],
            _class_name(names, row["predicted"]),
            row["images"],
            100 * row["share"],
        )
        for row in pairs.to_dict("records")
    ]
    header = ("label", "name", "predicted", "name", "images", "% of the label")
    emit_table("Top confusions", header, rows)


@app.command("relabel")
def relabel_evaluation(
    evaluation: EvaluationId,
    labels: Annotated[
        Path,
        typer.Argument(
            help="real.json of ImageNet-ReaL, or a JSON object `{file name: [class indices]}`."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the label set, shown with its results.")],
    json: Json = False,
) -> None:
    """Scores an evaluation by other labels, without running the model again.

    An image may have several correct classes, as in ImageNet-ReaL. Images without any are excluded.

    Example: `python -m engine evaluation relabel 3 real.json --name real`
    """
    row = relabel(evaluation, labels, name, prepare_database())
    if json:
        emit_json({"label_set": row.label_set, **counts_document(row)})
        return
    excluded = EvaluationProtocol.from_row(row).without_a_right_answer
    note(
        f"Evaluation {row.id}: top-1 {100 * (row.top1_count or 0) / row.images:.3f} % of "
        f"{row.images:,} images by label set {row.label_set}; excluded without a correct class: "
        f"{excluded:,}."
    )


def counts_document(row: Evaluation) -> dict[str, Any]:
    """A new evaluation for a JSON document: number, images, correct in top-1 and top-5."""
    return {
        "evaluation": row.id,
        "images": row.images,
        "top1_count": row.top1_count,
        "top5_count": row.top5_count,
    }


def _figure_rows(metrics: EvaluationMetrics) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [("images", metrics.images, None)]
    for name, value, low, high in (
        ("top-1 %", metrics.top1, metrics.top1_low, metrics.top1_high),
        ("top-5 %", metrics.top5, metrics.top5_low, metrics.top5_high),
    ):
        if value is not None and low is not None and high is not None:
            rows.append((name, f"{100 * value:.3f}", interval_text(low, high, ".3f")))
    for name, value, digits in (
        ("mean rank of the label", metrics.mean_rank, 2),
        ("negative log-likelihood (nats)", metrics.negative_log_likelihood, 4),
        ("expected calibration error (15 bins)", metrics.calibration_error, 4),
    ):
        rows.append((name, None if value is None else f"{value:.{digits}f}", None))
    return rows


def _class_name(names: tuple[str, ...] | None, index: int) -> str | None:
    return names[index] if names and 0 <= index < len(names) else None

"""`evaluation`: list, show, relabel."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.models import Evaluation
from engine.cli.options import EvaluationId, Json, Most
from engine.cli.output import emit_json, emit_table, interval, note
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
_LISTED = (
    "evaluation_id", "model_id", "precision", "origin", "dataset", "label_set", "images",
    "images_planned", "top1", "top5",
)  # fmt: skip


@app.command("list")
def list_evaluations(json: Json = False) -> None:
    """Lists the evaluations with their numbers.

    Example: `python -m engine evaluation list`
    """
    frame = results_frame(prepare_database())
    frame = frame[frame["evaluation_id"].notna()].drop_duplicates("evaluation_id")
    rows = to_records(frame[list(_LISTED)].sort_values("evaluation_id"))
    if json:
        emit_json(rows)
        return
    for row in rows:
        done, planned = row["images"], row.pop("images_planned")
        row["images"] = done if done == planned else f"{done} of {planned}, partial"
    header = [header_of(name) for name in _LISTED if name != "images_planned"]
    emit_table("Evaluations", header, [list(r.values()) for r in rows])


@app.command("show")
def show(evaluation: EvaluationId, most: Most = 10, json: Json = False) -> None:
    """Shows one evaluation whole: figures with intervals, weakest classes, commonest confusions.

    Example: `python -m engine evaluation show 3`
    """
    row = find_evaluation(evaluation, prepare_database())
    images = load_per_image(row)
    found, names = compute_metrics(images), load_class_names(row)
    protocol = EvaluationProtocol.from_row(row)
    overlap = protocol.overlap
    weakest = per_class(images).sort_values(["top1", "class_index"]).head(most)
    confused = top_confusions(images, most)
    if json:
        emit_json(
            {
                "evaluation": row.id,
                "dataset": row.dataset_name,
                "images_planned": row.images_planned or row.images,
                **asdict(found),
                "seen_before": overlap.dump() if overlap is not None else None,
                "class_matching": protocol.class_matching,
                "per_class": to_records(per_class(images)),
                "confusions": to_records(confused),
            }
        )
        return
    if row.images_planned and row.images < row.images_planned:
        note(f"Partial: the first {row.images:,} of {row.images_planned:,} images.")
    emit_table(
        f"Evaluation {row.id} on {row.dataset_name}", ("figure", "value", "95 %"), _of(found)
    )
    if overlap is not None:
        note(f"Seen before: {overlap.sentence()}.")
    if protocol.class_matching is not None:
        note(f"Classes: {protocol.class_matching}")
    if not images.labeled:
        note("These images have no labels; `compare` tells how far two evaluations agree.")
        return
    _show_weakest(weakest, names)
    _show_confused(confused, names)


def _show_weakest(classes: pd.DataFrame, names: tuple[str, ...] | None) -> None:
    rows = [
        (
            row["class_index"],
            _name(names, row["class_index"]),
            row["images"],
            row["right"],
            100 * row["top1"],
            interval(row["low"], row["high"]),
        )
        for row in classes.to_dict("records")
    ]
    emit_table("Weakest classes", ("class", "name", "images", "right", "top-1 %", "95 %"), rows)


def _show_confused(pairs: pd.DataFrame, names: tuple[str, ...] | None) -> None:
    rows = [
        (
            row["label"],
            _name(names, row["label"]),
            row["predicted"],
            _name(names, row["predicted"]),
            row["images"],
            100 * row["share"],
        )
        for row in pairs.to_dict("records")
    ]
    header = ("label", "name", "taken for", "name", "images", "% of the label")
    emit_table("Commonest confusions", header, rows)


@app.command("relabel")
def relabel_one(
    evaluation: EvaluationId,
    labels: Annotated[
        Path,
        typer.Argument(
            help="ImageNet-ReaL's real.json, or a JSON object `{file name: [class indices]}`."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the label set, shown beside its results.")],
    json: Json = False,
) -> None:
    """Scores an evaluation by other labels, several right ones each; nothing is run again.

    Example: `python -m engine evaluation relabel 3 real.json --name real`
    """
    row = relabel(evaluation, labels, name, prepare_database())
    if json:
        emit_json({"label_set": row.label_set, **counts_of(row)})
        return
    left_out = EvaluationProtocol.from_row(row).without_a_right_answer
    note(
        f"Evaluation {row.id}: top-1 {100 * (row.top1_count or 0) / row.images:.3f} % of "
        f"{row.images:,} images by labels {row.label_set}; {left_out:,} without a right answer are "
        f"left out."
    )


def counts_of(row: Evaluation) -> dict[str, Any]:
    """What a document says of a new evaluation: its number, images and right answers."""
    return {
        "evaluation": row.id,
        "images": row.images,
        "top1_count": row.top1_count,
        "top5_count": row.top5_count,
    }


def _of(found: EvaluationMetrics) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [("images", found.images, None)]
    for name, value, low, high in (
        ("top-1 %", found.top1, found.top1_low, found.top1_high),
        ("top-5 %", found.top5, found.top5_low, found.top5_high),
    ):
        if value is not None and low is not None and high is not None:
            rows.append((name, f"{100 * value:.3f}", interval(low, high, ".3f")))
    for name, value, digits in (
        ("mean rank of the label", found.mean_rank, 2),
        ("negative log-likelihood (nats)", found.negative_log_likelihood, 4),
        ("calibration error (15 bins)", found.calibration_error, 4),
    ):
        rows.append((name, None if value is None else f"{value:.{digits}f}", None))
    return rows


def _name(names: tuple[str, ...] | None, index: int) -> str | None:
    return names[index] if names and 0 <= index < len(names) else None

"""`compare`: two evaluations of the same images, compared image by image."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from db.models import Evaluation
from engine.cli.options import EvaluationId, Json, RowLimit
from engine.cli.output import emit_json, emit_table, interval_text, note
from engine.common.stats import PairedDifference
from engine.evaluation.comparability import build_of
from engine.evaluation.paired import Pair, compare
from engine.results.formats import to_records
from engine.store.database import prepare_database
from engine.store.protocols import EvaluationProtocol


def compare_evaluations(
    first: EvaluationId,
    second: EvaluationId,
    ignore_preprocessing: Annotated[
        bool,
        typer.Option(
            "--ignore-preprocessing",
            help="Compare even if the preprocessing of the images differs.",
        ),
    ] = False,
    limit: RowLimit = 10,
    json: Json = False,
) -> None:
    """Compares two evaluations of the same images: paired difference, p-value and agreement.

    Differences are second minus first, in percentage points (pp), with a 95 % interval (Tango) and
    the exact p-value of McNemar's test. Images whose result changed are listed.

    Example: `python -m engine compare 3 5`
    """
    url = prepare_database()
    pair = compare(first, second, url, anyway=ignore_preprocessing)
    if json:
        emit_json(_comparison_document(pair))
        return
    emit_table(
        f"Evaluation {second} ({subject_of(pair.second, url)}) against {first} "
        f"({subject_of(pair.first, url)})",
        ("", "difference (pp)", "95 % interval", "p"),
        _difference_rows(pair),
    )
    counts = pair.flips["direction"].value_counts()
    if pair.difference is not None:
        top1 = pair.difference
        note(
            f"{top1.n:,} images. Correct only in {first}: {top1.only_a:,}. Correct only in "
            f"{second}: {top1.only_b:,}. Incorrect in both, with different classes: "
            f"{counts.get('changed', 0):,}."
        )
    if pair.worst_class is not None:
        note(pair.worst_class.sentence(f"class {pair.worst_class.label}"))
    if pair.agreement is not None:
        agreement = pair.agreement
        note(
            f"Top-1 agreement: {100 * agreement.share:.2f} % of the images (95 % interval "
            f"{interval_text(agreement.low, agreement.high)} %)."
        )
    if pair.remark:
        note(f"Note: {pair.remark}")
    for direction, title in (
        ("lost", f"Correct only in {first}"),
        ("gained", f"Correct only in {second}"),
        ("changed", "Different classes" + (", both incorrect" if pair.difference else "")),
    ):
        rows = pair.flips[pair.flips["direction"] == direction]
        if len(rows):
            columns = ["image", "name", "label", "first", "second"]
            shown = rows[columns].head(limit).itertuples(index=False)
            emit_table(
                f"{title}: {len(rows):,}" + (f", the first {limit}" if len(rows) > limit else ""),
                ("image", "file", "label", f"in {first}", f"in {second}"),
                [list(r) for r in shown],
            )


def subject_of(row: Evaluation, url: str) -> str:
    """`timm/seresnet50 int8 in openvino 2026.4.1`: what an evaluation is of."""
    build = build_of(row, url)
    runtime = EvaluationProtocol.from_row(row).runtime
    name = f"{build.model_id} {build.precision}" if build is not None else "unknown build"
    return f"{name} in {runtime}" if runtime else name


def _difference_rows(pair: Pair) -> list[tuple[Any, ...]]:
    rows = (("top-1", pair.difference), ("top-5", pair.top5_difference))
    return [
        (
            name,
            f"{100 * d.difference:+.3f}",
            interval_text(d.low, d.high, "+.3f"),
            f"{d.p_value:.3g}",
        )
        for name, d in rows
        if d is not None
    ]


def _comparison_document(pair: Pair) -> dict[str, Any]:
    def plain(difference: PairedDifference | None) -> dict[str, Any] | None:
        return asdict(difference) if difference else None

    return {
        "first": pair.first.id,
        "second": pair.second.id,
        "runtimes": [EvaluationProtocol.from_row(row).runtime for row in (pair.first, pair.second)],
        "top1": plain(pair.difference),
        "top5": plain(pair.top5_difference),
        "agreement": asdict(pair.agreement) if pair.agreement else None,
        "worst_class": asdict(pair.worst_class) if pair.worst_class else None,
        "remark": pair.remark,
        "flips": to_records(pair.flips),
    }

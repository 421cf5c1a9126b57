"""`compare`: two evaluations held against each other, image by image."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from engine.cli.options import EvaluationId, Json, Most
from engine.cli.output import emit_json, emit_table, interval, note
from engine.common.stats import PairedDifference
from engine.evaluation.paired import Pair, compare
from engine.results.formats import to_records
from engine.store.database import prepare_database


def compare_both(
    first: EvaluationId,
    second: EvaluationId,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also if the images were prepared differently.")
    ] = False,
    most: Most = 10,
    json: Json = False,
) -> None:
    """Compares two evaluations of the same images: paired difference, exact p, flips, agreement.

    Example: `python -m engine compare 3 5`
    """
    pair = compare(first, second, prepare_database(), anyway=anyway)
    if json:
        emit_json(_document(pair))
        return
    emit_table(f"Evaluation {second} against {first}", ("", "points", "95 %", "p"), _rows(pair))
    counts = pair.flips["direction"].value_counts()
    if pair.difference is not None:
        both = pair.difference
        note(
            f"Of {both.n:,} images {both.only_a:,} are right only in {first} and {both.only_b:,} "
            f"only in {second}; {counts.get('changed', 0):,} changed between two wrong classes."
        )
    if pair.agreement is not None:
        agree = pair.agreement
        note(
            f"The best class is the same on {100 * agree.share:.2f} % of the images (95 %: "
            f"{interval(agree.low, agree.high)})."
        )
    if pair.remark:
        note(f"Note: {pair.remark}")
    for direction, title in (
        ("lost", f"Right only in {first}"),
        ("gained", f"Right only in {second}"),
        ("changed", "Changed"),
    ):
        rows = pair.flips[pair.flips["direction"] == direction]
        if len(rows) and (direction != "changed" or pair.difference is None):
            columns = ["image", "name", "label", "first", "second"]
            shown = rows[columns].head(most).itertuples(index=False)
            emit_table(
                f"{title}: {len(rows):,}" + (f", the first {most}" if len(rows) > most else ""),
                ("image", "file", "label", f"in {first}", f"in {second}"),
                [list(r) for r in shown],
            )


def _rows(pair: Pair) -> list[tuple[Any, ...]]:
    named = (("top-1", pair.difference), ("top-5", pair.top5_difference))
    return [
        (name, f"{100 * d.difference:+.3f}", interval(d.low, d.high, "+.3f"), f"{d.p_value:.3g}")
        for name, d in named
        if d is not None
    ]


def _document(pair: Pair) -> dict[str, Any]:
    def plain(found: PairedDifference | None) -> dict[str, Any] | None:
        return asdict(found) if found else None

    return {
        "first": pair.first.id,
        "second": pair.second.id,
        "top1": plain(pair.difference),
        "top5": plain(pair.top5_difference),
        "agreement": asdict(pair.agreement) if pair.agreement else None,
        "remark": pair.remark,
        "flips": to_records(pair.flips),
    }

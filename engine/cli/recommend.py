"""`recommend`: the build to deploy under constraints, with its state and its evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.benchmark.sweep import Percentile
from engine.cli import answer_options as a
from engine.cli.follow import queue_jobs
from engine.cli.options import Detach, Json
from engine.cli.output import emit_json, note, out
from engine.results import result_tables
from engine.results.recommend import (
    Constraints,
    Goal,
    Recommendation,
    candidates,
    caveats,
    comparable_points,
    recommend,
    recommendation_document,
    recommendation_text,
    stored_evidence,
)
from engine.results.recommend.measure_again import quiet_session, rows_to_measure
from engine.results.selection import Comparison, comparison
from engine.store.database import prepare_database
from engine.text import printable


def recommend_build(
    max_latency: a.MaxLatency = None,
    percentile: a.LatencyPercentile = Percentile.P90,
    max_drop: a.MaxDrop = 1.0,
    no_max_drop: Annotated[
        bool, typer.Option("--no-max-drop", help="No constraint on the accuracy drop.")
    ] = False,
    min_top1: a.MinTop1 = None,
    max_size: a.MaxSize = None,
    max_memory: a.MaxMemory = None,
    optimize: a.Optimize = Goal.ACCURACY,
    images: Annotated[
        str | None,
        typer.Option(
            help="Image set: a part of its label, as Compare shows it, such as `imagenet-val`. "
            "Default: the one with the most builds; the demo's comes last."
        ),
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            help="Configuration and machine of the speeds: a part of the label, such as `batch 8`. "
            "Default: the one with the most builds."
        ),
    ] = None,
    measure_again: Annotated[
        bool,
        typer.Option(
            "--measure-again",
            help="Queue one session of the builds whose speed was disturbed or unstable; it waits "
            "for a quiet machine.",
        ),
    ] = False,
    detach: Detach = False,
    json: Json = False,
) -> int:
    """Recommends a build under constraints: `Meets constraints`, `Likely` or `Inconclusive`.

    Meets constraints: the paired interval of the accuracy drop is within the limit (for all builds
    tested together), and the speed is stable and undisturbed. Likely: about how many more images
    are needed. Inconclusive: speeds were disturbed or unstable; --measure-again measures those
    builds when the machine is quiet. Where no build qualifies: the nearest one and its distance.

    Example: `python -m engine recommend --max-latency 20 --percentile p90 --max-drop 1
    --min-top1 75 --json`
    """
    url = prepare_database()
    constraints = Constraints(
        percentile,
        max_latency,
        None if no_max_drop else max_drop,
        min_top1,
        max_size,
        max_memory,
        optimize,
    )
    compared = comparison(result_tables(url), images, setting)
    points = candidates(comparable_points(compared.rows))
    found = recommend(points, constraints, stored_evidence(url))
    again = rows_to_measure(found, points)
    if measure_again:
        if not again:
            note("No speed that decides is disturbed or unstable: nothing is measured again.")
            return 0
        return queue_jobs([quiet_session(again, url)], detach, json)
    if json:
        emit_json(recommendation_document(found, constraints, compared.images, compared.setting))
        return 0
    _show(found, constraints, compared)
    if again:
        note(
            "`recommend --measure-again` measures the unreliable speeds when the machine is quiet."
        )
    return 0


def _show(found: Recommendation, constraints: Constraints, compared: Comparison) -> None:
    """Prints the recommendation with its evidence and what limits it."""
    text = recommendation_text(found, constraints, compared.setting)
    for part in (text.head, text.open, text.evidence):
        if part:
            out.print(printable(part), soft_wrap=True)
    note(f"Images: {compared.images}. Speed: {compared.setting}.")
    for caveat in caveats(found.row, constraints) if found.row else []:
        note(f"Note: {caveat}.")

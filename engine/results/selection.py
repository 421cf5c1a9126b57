"""The rows that one comparison is about: one image set, one configuration, one kind of runtime."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from engine.errors import InvalidRequest
from engine.evaluation.comparability import with_not_comparable
from engine.results.groups import (
    Group,
    RuntimeChoice,
    accuracy_groups,
    in_runtime,
    runtimes_of,
    speed_groups,
    with_keys,
    with_labels,
)
from engine.results.joining import ResultTables, join_results
from engine.results.recommend import only_real_or_only_demo, with_accuracy_drops
from engine.text import quoted


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of results that may be compared, and the labels of their images and configuration."""

    rows: pd.DataFrame
    images: str
    setting: str


def comparable_rows(
    results: pd.DataFrame,
    models: Collection[str] = (),
    runtime: str = str(RuntimeChoice.EACH),
) -> pd.DataFrame:
    """Measured rows of one image set and one configuration, of `models` (labels; empty: all).

    Adds `label`, `key`, `not_comparable` (the reason), `several_runtimes`, and the accuracy drops,
    which are taken from the rows of all runtimes before one is chosen. The demo is left out beside
    real results.
    """
    rows = with_labels(results)
    rows = rows[rows["evaluation_id"].notna() | rows["benchmark_id"].notna()]
    if models:
        rows = rows[rows["label"].isin(models)]
    rows = only_real_or_only_demo(rows)
    rows = with_keys(with_not_comparable(rows.reset_index(drop=True)))
    several = len(runtimes_of(rows["runtime"])) > 1
    rows = with_accuracy_drops(rows).assign(several_runtimes=several)
    return in_runtime(rows, runtime).reset_index(drop=True)


def comparison(
    tables: ResultTables, images: str | None = None, setting: str | None = None
) -> Comparison:
    """The rows of an image set and a configuration, each given by a part of its label.

    By default those with the most builds. Raises InvalidRequest where none, or several, fit.
    """
    accuracy = _group(accuracy_groups(tables.evaluations), images, "image set", "--images")
    speed = _group(speed_groups(tables.benchmarks), setting, "configuration", "--setting")
    joined = join_results(
        ResultTables(
            tables.builds,
            accuracy.select_rows(tables.evaluations) if accuracy else tables.evaluations,
            speed.select_rows(tables.benchmarks) if speed else tables.benchmarks,
        )
    )
    return Comparison(
        comparable_rows(joined),
        accuracy.label if accuracy else "no evaluation",
        speed.label if speed else "no benchmark",
    )


def _group(groups: list[Group], part: str | None, what: str, flag: str) -> Group | None:
    """The first group, or the only one whose label contains `part`; None where there is none."""
    if part is None:
        return groups[0] if groups else None
    found = [group for group in groups if part.casefold() in group.label.casefold()]
    exact = [group for group in found if group.label == part]
    if len(exact or found) == 1:
        return (exact or found)[0]
    labels = "; ".join(group.label for group in (found or groups)[:6])
    way_out = f"choose one of {labels}" if labels else "none was measured yet"
    problem = f"fits several {what}s" if found else f"fits no {what}"
    raise InvalidRequest(f"{flag} {quoted(part)} {problem}: {way_out}.")

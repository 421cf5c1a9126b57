"""Whether a build is faster than fp32 of its model where both were measured, and what is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from db.enums import Precision
from engine.results.reading import by_runtime, newest_rows
from engine.runtimes.registry import label_of, name_in
from engine.specs.comparability import SAME_MODEL, SAME_SETTING
from engine.text import is_missing, number


def not_faster_words(speed_up: float) -> str:
    """The mark of a build that `not_faster` finds; a ratio above 1 is within the noise."""
    return f"not {'shown to be ' if speed_up > 1 else ''}faster than fp32 here"


def not_faster(row: Mapping[str, Any]) -> bool | None:
    """Whether the 95 % interval of the speed-up against fp32 does not lie above 1.

    None where that is not known: fp32 itself, a build that was not measured in one session with
    fp32 of its model, or too few rounds for an interval.
    """
    low = row.get("speed_up_low")
    if low is None or is_missing(low) or row["precision"] == Precision.FP32:
        return None
    return float(low) <= 1


def not_faster_text(row: Mapping[str, Any], faster: str | None = None) -> str | None:
    """`not faster than fp32 here (0.85 ×); faster: int8 in OpenVINO (1.62 ×)`.

    `faster`: what is faster, as from `faster_than_fp32`. None where the build is faster, or it is
    not known.
    """
    if not not_faster(row):
        return None
    ratio = float(row["speed_up"])
    text = f"{not_faster_words(ratio)} ({number(ratio, 2)} ×)"
    return f"{text}; faster: {faster}" if faster else text


def with_not_faster(benchmarks: pd.DataFrame, builds: pd.DataFrame) -> pd.DataFrame:
    """Adds `not_faster`, the text of each benchmark; `builds`: their models and precisions."""
    columns = ["artifact_digest", *SAME_MODEL, "precision"]
    texts = pd.Series(None, index=benchmarks.index, dtype=object)
    if (benchmarks["speed_up_low"] <= 1).any():
        rows = benchmarks.reset_index(names="row").merge(builds[columns], on="artifact_digest")
        same = rows.groupby([*SAME_MODEL, *SAME_SETTING], dropna=False, sort=False)
        rows = rows.assign(executed_by=by_runtime(rows), group=same.ngroup())
        marked = rows[rows["speed_up_low"] <= 1]
        newest = newest_rows(rows, (*SAME_SETTING, "executed_by"), "benchmarked_at")
        faster = faster_than_fp32(marked, newest)
        for row in marked.to_dict("records"):
            texts[row["row"]] = not_faster_text(row, faster.get(row["row"]))
    return benchmarks.assign(not_faster=texts)


def faster_than_fp32(marked: pd.DataFrame, newest: pd.DataFrame) -> dict[Any, str]:
    """`int8 in OpenVINO (1.62 ×)` by `row` of `marked`: the fastest build that is faster than fp32.

    `newest` are the candidates: those of the same `group` are of the same model and machine under
    the same setting. In the same runtime (`executed_by`) their own speed-up decides; in another one
    their images/s interval must lie above that of fp32 in the runtime of the row. Rows without such
    a build are missing.
    """
    where = ["group", "executed_by"]
    fp32 = newest[newest["precision"] == Precision.FP32].drop_duplicates(where)
    fp32 = fp32[[*where, "images_per_s", "images_per_s_high"]]
    figures = ["precision", "runtime", "speed_up", "speed_up_low"]
    figures += ["images_per_s", "images_per_s_low"]
    pairs = (
        marked[["row", *where]]
        .merge(fp32, on=where)
        .merge(newest[[*where, *figures]], on="group", suffixes=("_fp32", ""))
    )
    here = pairs["executed_by"] == pairs["executed_by_fp32"]
    above = pairs["images_per_s_low"] > pairs["images_per_s_high"]
    faster = pairs[(here & (pairs["speed_up_low"] > 1)) | (~here & above)]
    best = faster.sort_values("images_per_s", kind="stable").drop_duplicates("row", keep="last")
    found = {}
    for one in best.to_dict("records"):
        elsewhere = one["executed_by"] != one["executed_by_fp32"]
        runtime = f" in {label_of(name_in(str(one['runtime'])))}" if elsewhere else ""
        # In the same runtime the one speed-up of its row, which is paired by rounds.
        ratio = one["images_per_s"] / one["images_per_s_fp32"] if elsewhere else one["speed_up"]
        found[one["row"]] = f"{one['precision']}{runtime} ({number(ratio, 2)} ×)"
    return found

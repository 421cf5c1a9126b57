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

NOT_FASTER = "not faster than fp32 here"


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
    text = f"{NOT_FASTER} ({number(row['speed_up'], 2)} ×)"
    return f"{text}; faster: {faster}" if faster else text


def with_not_faster(benchmarks: pd.DataFrame, builds: pd.DataFrame) -> pd.DataFrame:
    """Adds `not_faster`, the text of each benchmark; `builds`: their models and precisions."""
    columns = ["artifact_digest", *SAME_MODEL, "precision"]
    known = benchmarks[benchmarks["speed_up_low"] <= 1]
    texts = pd.Series(None, index=benchmarks.index, dtype=object)
    if len(known):
        rows = benchmarks.reset_index().merge(builds[columns], on="artifact_digest")
        rows = rows.set_index("index").assign(executed_by=lambda frame: by_runtime(frame))
        newest = newest_rows(rows, (*SAME_SETTING, "executed_by"), "benchmarked_at")
        for index, row in rows[rows.index.isin(known.index)].iterrows():
            texts[index] = not_faster_text(row, faster_than_fp32(row, newest))
    return benchmarks.assign(not_faster=texts)


def faster_than_fp32(row: Mapping[str, Any], rows: pd.DataFrame) -> str | None:
    """`int8 in OpenVINO (1.62 ×)`: the fastest of `rows` that is faster than fp32 of `row`.

    Of the same model and machine under the same setting, in another precision or runtime. In the
    same runtime its own speed-up decides; in another one its images/s interval must lie above that
    of fp32. None without such a build.
    """
    same = rows
    for name in (*SAME_MODEL, *SAME_SETTING):
        value = row[name]
        same = same[same[name].isna() if is_missing(value) else same[name] == value]
    here = same["executed_by"] == row["executed_by"]
    fp32 = same[here & (same["precision"] == Precision.FP32)]
    if fp32.empty:
        return None
    reference = fp32.iloc[0]
    above = same["images_per_s_low"] > reference["images_per_s_high"]
    faster = same[(here & (same["speed_up_low"] > 1)) | (~here & above)]
    if faster.empty:
        return None
    best = faster.loc[faster["images_per_s"].idxmax()]
    runtime = best["runtime"]
    where = "" if best["executed_by"] == row["executed_by"] else f" in {_label(runtime)}"
    ratio = best["images_per_s"] / reference["images_per_s"]
    return f"{best['precision']}{where} ({number(ratio, 2)} ×)"


def _label(runtime: Any) -> str:
    return label_of(name_in(str(runtime)))

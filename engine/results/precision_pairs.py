"""Two precisions of one model compared: paired accuracy change, speed-up and size ratio."""

from __future__ import annotations

import pandas as pd

from engine.common.stats import PairedDifference, paired_difference
from engine.evaluation.comparability import require_same_images
from engine.evaluation.per_image import find_evaluation, load_per_image
from engine.results.builds import MEASURED_HERE
from engine.results.reading import with_ran_in
from engine.results.speeds import benchmark_ratio
from engine.specs.comparability import SAME_CONDITIONS, SAME_EVALUATION, SAME_MODEL

PAIR_COLUMNS = [
    *SAME_MODEL, "dataset", "images", "change", "change_low", "change_high", "p_value",
    "only_first", "only_second", "batch", "threads", "environment", "speed_up", "speed_up_low",
    "speed_up_high", "speed_up_p", "speed_paired", "size_ratio",
]  # fmt: skip


def paired_top1_difference(first_id: int, second_id: int, url: str) -> PairedDifference:
    """Top-1 of the second evaluation minus the first, paired by image.

    Raises InvalidRequest unless both have the same images, labels and preprocessing.
    """
    first, second = find_evaluation(first_id, url), find_evaluation(second_id, url)
    a, b = load_per_image(first), load_per_image(second)
    require_same_images(first, second, a, b)
    return paired_difference(a.correct, b.correct)


def precision_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    """`second` vs `first` for each model measured at both precisions; columns: PAIR_COLUMNS.

    `change`: top-1 of second minus first in percentage points, with its paired 95 % interval.
    `only_first`, `only_second`: images that only one of them classifies correctly. `speed_up` and
    `size_ratio`: second / first, on one machine in one configuration; the interval of the speed-up
    is paired by round (`speed_paired`) where both were measured in one session.
    """
    accuracy = _accuracy_pairs(frame, url, first, second)
    speed = _speed_pairs(frame, url, first, second)
    merged = accuracy.merge(speed, on=list(SAME_MODEL), how="outer") if len(speed) else accuracy
    return merged.reindex(columns=PAIR_COLUMNS).sort_values("model_id").reset_index(drop=True)


def _join_precisions(
    frame: pd.DataFrame, columns: list[str], same: tuple[str, ...], first: str, second: str
) -> pd.DataFrame:
    """`columns` of both precisions of each model, joined where `same` is equal.

    `columns[0]` is the ID of a measurement. Columns get the suffixes `_first` and `_second`.
    """
    id_column, keys = columns[0], [*SAME_MODEL, *same]
    measured = frame.loc[frame[id_column].notna(), ["precision", *keys, *columns]]
    measured = measured.drop_duplicates([id_column])
    left = measured[measured["precision"] == first]
    right = measured[measured["precision"] == second]
    return left.merge(right, on=keys, suffixes=("_first", "_second"))


def _accuracy_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    frame = with_ran_in(frame, frame["origin"] == MEASURED_HERE)
    scored = frame[frame["top1"].notna() & (frame["images"] == frame["images_planned"])]
    pairs = _join_precisions(
        scored, ["evaluation_id", "dataset"], (*SAME_EVALUATION, "ran_in"), first, second
    )
    rows = []
    for pair in pairs.to_dict("records"):
        result = paired_top1_difference(
            int(pair["evaluation_id_first"]), int(pair["evaluation_id_second"]), url
        )
        rows.append(
            {
                **{name: pair[name] for name in SAME_MODEL},
                "dataset": pair["dataset_first"],
                "images": int(pair["images"]),
                "change": 100 * result.difference,
                "change_low": 100 * result.low,
                "change_high": 100 * result.high,
                "p_value": result.p_value,
                "only_first": result.only_a,
                "only_second": result.only_b,
            }
        )
    return pd.DataFrame(rows, columns=PAIR_COLUMNS[:11])


def _speed_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    columns = ["benchmark_id", "environment", "size_mb"]
    pairs = _join_precisions(frame, columns, SAME_CONDITIONS, first, second)
    rows = []
    for pair in pairs.to_dict("records"):
        ratio = benchmark_ratio(
            int(pair["benchmark_id_first"]), int(pair["benchmark_id_second"]), url
        )
        rows.append(
            {
                **{name: pair[name] for name in SAME_MODEL},
                "batch": pair["batch"],
                "threads": pair["threads"],
                "environment": pair["environment_first"],
                "speed_up": ratio.ratio,
                "speed_up_low": ratio.low,
                "speed_up_high": ratio.high,
                "speed_up_p": ratio.p_value,
                "speed_paired": ratio.paired,
                "size_ratio": pair["size_mb_second"] / pair["size_mb_first"],
            }
        )
    return pd.DataFrame(rows, columns=[*SAME_MODEL, *PAIR_COLUMNS[11:]])

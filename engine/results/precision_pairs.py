"""Two builds of one model held against each other: the paired drop, the speed-up, the size."""

from __future__ import annotations

import pandas as pd

from engine.common.stats import PairedDifference, paired_difference
from engine.evaluation.comparability import require_same_images
from engine.evaluation.per_image import find_evaluation, load_per_image
from engine.specs.comparability import SAME_CONDITIONS, SAME_EVALUATION, SAME_MODEL

PAIR_COLUMNS = [
    *SAME_MODEL, "dataset", "images", "drop", "drop_low", "drop_high", "p_value", "lost",
    "gained", "batch", "threads", "environment", "speed_up", "size_ratio",
]  # fmt: skip


def paired(first_id: int, second_id: int, url: str) -> PairedDifference:
    """Second minus first in top-1, on the images that both evaluations share.

    Raises InvalidRequest when they are not of the same images, prepared the same way.
    """
    first, second = find_evaluation(first_id, url), find_evaluation(second_id, url)
    a, b = load_per_image(first), load_per_image(second)
    require_same_images(first, second, a, b)
    return paired_difference(a.correct, b.correct)


def precision_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    """For each model measured at both precisions: `second` against `first`, as in PAIR_COLUMNS.

    `drop` is in points of top-1 (second minus first) with its paired 95 % interval; `speed_up`
    and `size_ratio` are second over first, each within one machine and one configuration.
    """
    accuracy = _accuracy_pairs(frame, url, first, second)
    speed = _speed_pairs(frame, first, second)
    merged = accuracy.merge(speed, on=list(SAME_MODEL), how="outer") if len(speed) else accuracy
    return merged.reindex(columns=PAIR_COLUMNS).sort_values("model_id").reset_index(drop=True)


def _sides(
    frame: pd.DataFrame, told: list[str], same: tuple[str, ...], first: str, second: str
) -> pd.DataFrame:
    """`told` of both precisions of a model that agree in `same`; told[0] names a measurement."""
    known_by, keys = told[0], [*SAME_MODEL, *same]
    measured = frame.loc[frame[known_by].notna(), ["precision", *keys, *told]]
    measured = measured.drop_duplicates([known_by])
    left = measured[measured["precision"] == first]
    right = measured[measured["precision"] == second]
    return left.merge(right, on=keys, suffixes=("_first", "_second"))


def _accuracy_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    scored = frame[frame["top1"].notna() & (frame["images"] == frame["images_planned"])]
    pairs = _sides(scored, ["evaluation_id", "dataset"], SAME_EVALUATION, first, second)
    rows = []
    for pair in pairs.to_dict("records"):
        result = paired(int(pair["evaluation_id_first"]), int(pair["evaluation_id_second"]), url)
        rows.append(
            {
                **{name: pair[name] for name in SAME_MODEL},
                "dataset": pair["dataset_first"],
                "images": int(pair["images"]),
                "drop": 100 * result.difference,
                "drop_low": 100 * result.low,
                "drop_high": 100 * result.high,
                "p_value": result.p_value,
                "lost": result.only_a,
                "gained": result.only_b,
            }
        )
    return pd.DataFrame(rows, columns=PAIR_COLUMNS[:11])


def _speed_pairs(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    told = ["benchmark_id", "environment", "images_per_s", "size_mb"]
    pairs = _sides(frame, told, SAME_CONDITIONS, first, second)
    return pd.DataFrame(
        {
            **{name: pairs[name] for name in SAME_MODEL},
            "batch": pairs["batch"],
            "threads": pairs["threads"],
            "environment": pairs["environment_first"],
            "speed_up": pairs["images_per_s_second"] / pairs["images_per_s_first"],
            "size_ratio": pairs["size_mb_second"] / pairs["size_mb_first"],
        }
    )

"""Two builds of one model held against each other: the paired drop, the speed-up, the size."""

from __future__ import annotations

import numpy as np
import pandas as pd

from db.session import reading
from db.tables import Evaluation
from engine.config import settings
from engine.errors import ArtifactMissing, InvalidRequest
from engine.stats import PairedDifference, paired_difference

SAME_ACCURACY = ["model_id", "weights_digest", "dataset_digest", "preprocess", "images"]
SAME_SPEED = [
    "model_id",
    "weights_digest",
    "environment_digest",
    "provider",
    "batch",
    "threads",
    "instances",
    "processes",
]
PAIR_COLUMNS = [
    "model_id",
    "weights_digest",
    "dataset",
    "images",
    "drop",
    "drop_low",
    "drop_high",
    "p_value",
    "lost",
    "gained",
    "batch",
    "threads",
    "environment",
    "speed_up",
    "size_ratio",
]


def paired(first_id: int, second_id: int, url: str) -> PairedDifference:
    """Second minus first in top-1, on the images that both evaluations share.

    Raises InvalidRequest when they are not of the same images, prepared the same way.
    """
    first, second = _evaluation(first_id, url), _evaluation(second_id, url)
    a, b = _per_image(first), _per_image(second)
    if first.dataset_digest != second.dataset_digest or not np.array_equal(a["image"], b["image"]):
        raise InvalidRequest(
            f"Evaluations {first_id} and {second_id} are not of the same images: they cannot be "
            f"compared pairwise."
        )
    return paired_difference(a["rank"] == 0, b["rank"] == 0)


def precision_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    """For each model measured at both precisions: `second` against `first`, as in PAIR_COLUMNS.

    `drop` is in points of top-1 (second minus first) with its paired 95 % interval; `speed_up`
    and `size_ratio` are second over first, each within one machine and one configuration.
    """
    accuracy = _accuracy_pairs(frame, url, first, second)
    speed = _speed_pairs(frame, first, second)
    keys = ["model_id", "weights_digest"]
    merged = accuracy.merge(speed, on=keys, how="outer") if len(speed) else accuracy
    return merged.reindex(columns=PAIR_COLUMNS).sort_values("model_id").reset_index(drop=True)


def _sides(
    frame: pd.DataFrame, id_column: str, keys: list[str], first: str, second: str
) -> pd.DataFrame:
    measured = frame[frame[id_column].notna()].drop_duplicates([id_column])
    left = measured[measured["precision"] == first]
    right = measured[measured["precision"] == second]
    return left.merge(right, on=keys, suffixes=("_first", "_second"))


def _accuracy_pairs(frame: pd.DataFrame, url: str, first: str, second: str) -> pd.DataFrame:
    pairs = _sides(frame, "evaluation_id", SAME_ACCURACY, first, second)
    rows = []
    for pair in pairs.to_dict("records"):
        result = paired(int(pair["evaluation_id_first"]), int(pair["evaluation_id_second"]), url)
        rows.append(
            {
                "model_id": pair["model_id"],
                "weights_digest": pair["weights_digest"],
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
    return pd.DataFrame(rows, columns=PAIR_COLUMNS[:10])


def _speed_pairs(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    pairs = _sides(frame, "benchmark_id", SAME_SPEED, first, second)
    return pd.DataFrame(
        {
            "model_id": pairs["model_id"],
            "weights_digest": pairs["weights_digest"],
            "batch": pairs["batch"],
            "threads": pairs["threads"],
            "environment": pairs["environment_first"],
            "speed_up": pairs["images_per_s_second"] / pairs["images_per_s_first"],
            "size_ratio": pairs["size_mb_second"] / pairs["size_mb_first"],
        }
    )


def _evaluation(evaluation_id: int, url: str) -> Evaluation:
    with reading(url) as session:
        row = session.get(Evaluation, evaluation_id)
    if row is None:
        raise InvalidRequest(f"There is no evaluation {evaluation_id}.")
    return row


def _per_image(row: Evaluation) -> dict[str, np.ndarray]:
    path = settings().home / row.per_image_path
    try:
        with np.load(path) as columns:
            return {name: columns[name] for name in ("image", "rank")}
    except OSError as error:
        raise ArtifactMissing(
            f"The per-image results of evaluation {row.id} are gone from {path}; evaluate again."
        ) from error

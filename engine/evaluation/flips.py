"""Top-1 flips between two evaluations of the same images: by class, and image by image.

Everything is computed from one joined table with one row per image (`join_predictions`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.errors import InvalidRequest
from engine.evaluation.comparability import find_incompatibility, require_same_images
from engine.evaluation.per_image import NO_LABEL, PerImage, find_evaluation, load_per_image
from engine.evaluation.worst_class import WorstClass, worst_class

CLASS_COLUMNS = ["label", "images", "first", "second", "change", "lost", "gained"]
FLIP_COLUMNS = ["image", "label", "first", "first_probability", "second", "second_probability"]


@dataclass(frozen=True, slots=True)
class Flips:
    """`classes` has CLASS_COLUMNS (accuracies in %); the images have FLIP_COLUMNS.

    `lost`: images that are correct in the first evaluation only, the most confident error first;
    `gained`: in the second only; `changed`: wrong in both, as another class. `confusions`: number
    of lost images by (label, second).
    """

    images: int
    classes: pd.DataFrame
    lost: pd.DataFrame
    gained: pd.DataFrame
    changed: pd.DataFrame
    confusions: pd.DataFrame
    worst_class: WorstClass | None = None


def find_flips(first_id: int, second_id: int, url: str) -> Flips:
    """Compares two evaluations image by image.

    Raises InvalidRequest when they are not comparable, ArtifactMissing when per-image results are
    missing.
    """
    rows = find_evaluation(first_id, url), find_evaluation(second_id, url)
    if (reason := find_incompatibility(*rows, url)) is not None:
        raise InvalidRequest(reason.sentence)
    first, second = load_per_image(rows[0]), load_per_image(rows[1])
    require_same_images(*rows, first, second)
    frame = join_predictions(first, second)
    lost, gained = frame[frame["lost"]], frame[frame["gained"]]
    wrong = ~frame["correct_first"] & ~frame["correct_second"]
    changed = frame[wrong & (frame["first"] != frame["second"])]
    confusions = lost.groupby(["label", "second"]).size().rename("images").reset_index()
    return Flips(
        images=len(frame),
        classes=_by_class(frame),
        lost=lost.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        gained=gained.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        changed=changed.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        confusions=confusions.sort_values("images", ascending=False, kind="stable"),
        worst_class=worst_class(first, second),
    )


def join_predictions(a: PerImage, b: PerImage) -> pd.DataFrame:
    """One row per image, in the order of the dataset; `a` is first, `b` second.

    Columns: FLIP_COLUMNS, correct_first, correct_second, lost (correct in a only), gained (in b
    only).
    """
    return pd.DataFrame(
        {
            "image": a.image,
            "label": a.label,
            "first": _top1(a),
            "first_probability": _top1_probability(a),
            "second": _top1(b),
            "second_probability": _top1_probability(b),
            "correct_first": a.correct,
            "correct_second": b.correct,
            "lost": a.correct & ~b.correct,
            "gained": ~a.correct & b.correct,
        }
    )


def find_top1_flips(a: PerImage, b: PerImage, names: np.ndarray | None) -> pd.DataFrame:
    """Images whose top-1 class differs: image, name, label, first, second, direction.

    Where the classes of one evaluation are not recorded: images correct in one only. `direction`:
    "lost", "gained", or "changed" (another class, with neither correct, or without labels).
    """
    frame = join_predictions(a, b)
    has_classes = a.best is not None and b.best is not None
    if not has_classes:
        frame[["first", "second"]] = NO_LABEL
    differs = frame["first"] != frame["second"] if has_classes else frame["lost"] | frame["gained"]
    direction = np.select([frame["lost"], frame["gained"]], ["lost", "gained"], "changed")
    changed = frame.assign(name=names, direction=direction)[differs]
    columns = ["image", "name", "label", "first", "second", "direction"]
    return changed[columns].reset_index(drop=True)


def _top1(images: PerImage) -> np.ndarray:
    """(n,) top-1 classes, NO_LABEL where only the rank of the label is recorded."""
    return np.full(len(images), NO_LABEL) if images.best is None else images.best


def _top1_probability(images: PerImage) -> np.ndarray:
    """(n,) top-1 probabilities, NaN where they are not recorded."""
    recorded = images.top_probability
    return np.full(len(images), np.nan) if recorded is None else recorded[:, 0]


def _by_class(frame: pd.DataFrame) -> pd.DataFrame:
    groups = frame.groupby("label")
    classes = pd.DataFrame(
        {
            "images": groups.size(),
            "first": 100 * groups["correct_first"].mean(),
            "second": 100 * groups["correct_second"].mean(),
            "lost": groups["lost"].sum(),
            "gained": groups["gained"].sum(),
        }
    ).reset_index()
    classes["change"] = classes["second"] - classes["first"]
    order = ["change", "lost", "label"]
    return classes.sort_values(order, ascending=[True, False, True])[CLASS_COLUMNS]

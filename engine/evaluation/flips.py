"""Where two evaluations of the same images differ: by class, and image by image.

One table of both, an image a row, is what everything here and in `pairs` is read from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.errors import InvalidRequest
from engine.evaluation.comparability import require_same_images, why_not_comparable
from engine.evaluation.per_image import NO_LABEL, PerImage, find, load

CLASS_COLUMNS = ["label", "images", "first", "second", "change", "lost", "gained"]
FLIP_COLUMNS = ["image", "label", "first", "first_probability", "second", "second_probability"]


@dataclass(frozen=True, slots=True)
class Flips:
    """`classes` as CLASS_COLUMNS (accuracies in percent); `lost`, `gained` as FLIP_COLUMNS.

    `lost` holds images that only the first gets right, the most confident mistake first.
    `confusions`: what lost images are taken for: label, second, images.
    """

    images: int
    classes: pd.DataFrame
    lost: pd.DataFrame
    gained: pd.DataFrame
    confusions: pd.DataFrame


def flips(first_id: int, second_id: int, url: str) -> Flips:
    """Compares two evaluations image by image.

    Raises InvalidRequest when they are not comparable, ArtifactMissing when the per-image results
    of one are gone.
    """
    rows = find(first_id, url), find(second_id, url)
    if (reason := why_not_comparable(*rows, url)) is not None:
        raise InvalidRequest(reason.sentence)
    first, second = load(rows[0]), load(rows[1])
    require_same_images(*rows, first, second)
    frame = side_by_side(first, second)
    lost, gained = frame[frame["lost"]], frame[frame["gained"]]
    confusions = lost.groupby(["label", "second"]).size().rename("images").reset_index()
    return Flips(
        images=len(frame),
        classes=_by_class(frame),
        lost=lost.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        gained=gained.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        confusions=confusions.sort_values("images", ascending=False, kind="stable"),
    )


def side_by_side(a: PerImage, b: PerImage) -> pd.DataFrame:
    """Both on the same images, in the order of the dataset.

    Columns: FLIP_COLUMNS, right_first, right_second, lost (right only in a), gained (only in b).
    """
    return pd.DataFrame(
        {
            "image": a.image,
            "label": a.label,
            "first": _best(a),
            "first_probability": _confidence(a),
            "second": _best(b),
            "second_probability": _confidence(b),
            "right_first": a.right,
            "right_second": b.right,
            "lost": a.right & ~b.right,
            "gained": ~a.right & b.right,
        }
    )


def changed(a: PerImage, b: PerImage, names: np.ndarray | None) -> pd.DataFrame:
    """The images whose best class differs: image, name, label, first, second, direction.

    Where one of the two did not record the classes: those right in one only. `direction` is "lost",
    "gained", or "changed" (another class, neither right or no labels).
    """
    frame = side_by_side(a, b)
    known = a.best is not None and b.best is not None
    if not known:
        frame[["first", "second"]] = NO_LABEL
    differs = frame["first"] != frame["second"] if known else frame["lost"] | frame["gained"]
    direction = np.select([frame["lost"], frame["gained"]], ["lost", "gained"], "changed")
    found = frame.assign(name=names, direction=direction)[differs]
    columns = ["image", "name", "label", "first", "second", "direction"]
    return found[columns].reset_index(drop=True)


def _best(images: PerImage) -> np.ndarray:
    """(n,) best classes, NO_LABEL where only the rank of the truth is known."""
    return np.full(len(images), NO_LABEL) if images.best is None else images.best


def _confidence(images: PerImage) -> np.ndarray:
    """(n,) probabilities of the best classes, NaN where they are not known."""
    known = images.top_probability
    return np.full(len(images), np.nan) if known is None else known[:, 0]


def _by_class(frame: pd.DataFrame) -> pd.DataFrame:
    groups = frame.groupby("label")
    found = pd.DataFrame(
        {
            "images": groups.size(),
            "first": 100 * groups["right_first"].mean(),
            "second": 100 * groups["right_second"].mean(),
            "lost": groups["lost"].sum(),
            "gained": groups["gained"].sum(),
        }
    ).reset_index()
    found["change"] = found["second"] - found["first"]
    order = ["change", "lost", "label"]
    return found.sort_values(order, ascending=[True, False, True])[CLASS_COLUMNS]

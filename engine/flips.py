"""Where two evaluations of the same images differ: by class, and image by image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from sqlalchemy import select

from db.session import reading
from db.tables import Dataset
from engine.accuracy.pairs import require_same_images
from engine.accuracy.per_image import NO_LABEL, PerImage, find, load
from engine.datasets import imagenet
from engine.datasets.reader import DatasetIndex, open_index
from engine.errors import DatasetInvalid

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

    Raises InvalidRequest when they are not of the same images, ArtifactMissing when the per-image
    results of one are gone.
    """
    rows = find(first_id, url), find(second_id, url)
    first, second = load(rows[0]), load(rows[1])
    require_same_images(*rows, first, second)
    frame = pd.DataFrame(
        {
            "image": first.image,
            "label": first.label,
            "first": _best(first),
            "first_probability": _confidence(first),
            "second": _best(second),
            "second_probability": _confidence(second),
            "right_first": first.right,
            "right_second": second.right,
        }
    )
    lost = frame[frame["right_first"] & ~frame["right_second"]]
    gained = frame[~frame["right_first"] & frame["right_second"]]
    confusions = lost.groupby(["label", "second"]).size().rename("images").reset_index()
    return Flips(
        images=len(frame),
        classes=_by_class(frame),
        lost=lost.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        gained=gained.sort_values("second_probability", ascending=False)[FLIP_COLUMNS],
        confusions=confusions.sort_values("images", ascending=False, kind="stable"),
    )


def _best(images: PerImage) -> np.ndarray:
    """(n,) best classes, NO_LABEL where only the rank of the truth is known."""
    return np.full(len(images), NO_LABEL) if images.best is None else images.best


def _confidence(images: PerImage) -> np.ndarray:
    """(n,) probabilities of the best classes, NaN where they are not known."""
    known = images.top_probability
    return np.full(len(images), np.nan) if known is None else known[:, 0]


def _by_class(frame: pd.DataFrame) -> pd.DataFrame:
    right_first, right_second = frame["right_first"], frame["right_second"]
    marked = frame.assign(lost=right_first & ~right_second, gained=~right_first & right_second)
    groups = marked.groupby("label")
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


def dataset_index(dataset_digest: str, url: str) -> DatasetIndex:
    """The registered images that an evaluation was made on; DatasetInvalid when they are gone."""
    statement = select(Dataset).where(Dataset.digest == dataset_digest).limit(1)
    with reading(url) as session:
        row = session.scalar(statement)
    if row is None:
        raise DatasetInvalid(
            f"The dataset {dataset_digest[:12]} is not registered here any more; register its "
            f"folder again to see the images."
        )
    return open_index(row)


@lru_cache(maxsize=1)
def _names_by_wnid() -> dict[str, str]:
    names = imagenet.class_names()
    return {wnid: names[index] for wnid, index in imagenet.wnid_to_index().items()}


def class_name(index: DatasetIndex | None, label: int) -> str:
    """A class as people call it: ImageNet's first name of a wnid, else the folder, or a number."""
    if index is None or not 0 <= label < len(index.classes):
        return f"class {label}"
    own = index.classes[label]
    return _names_by_wnid().get(own, own).partition(",")[0]

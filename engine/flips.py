"""Where two evaluations of the same images differ: by class, and image by image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from sqlalchemy import select

from db.session import reading
from db.tables import Dataset, Evaluation
from engine.config import settings
from engine.datasets import imagenet
from engine.datasets.reader import DatasetIndex, open_index
from engine.errors import ArtifactMissing, DatasetInvalid, InvalidRequest

COLUMNS = ("image", "label", "top5", "top5_probability", "rank")
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
    first, second = per_image(first_id, url), per_image(second_id, url)
    if not np.array_equal(first["image"], second["image"]):
        raise InvalidRequest(
            f"Evaluations {first_id} and {second_id} are not of the same images: they cannot be "
            f"compared image by image."
        )
    frame = pd.DataFrame(
        {
            "image": first["image"],
            "label": first["label"],
            "first": first["top5"][:, 0],
            "first_probability": first["top5_probability"][:, 0],
            "second": second["top5"][:, 0],
            "second_probability": second["top5_probability"][:, 0],
            "right_first": first["rank"] == 0,
            "right_second": second["rank"] == 0,
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


def per_image(evaluation_id: int, url: str) -> dict[str, np.ndarray]:
    """The columns of an evaluation, one entry an image."""
    with reading(url) as session:
        row = session.get(Evaluation, evaluation_id)
    if row is None:
        raise InvalidRequest(f"There is no evaluation {evaluation_id}.")
    path = settings().home / row.per_image_path
    try:
        with np.load(path, allow_pickle=False) as columns:
            return {name: columns[name] for name in COLUMNS}
    except (OSError, KeyError) as error:
        raise ArtifactMissing(
            f"The per-image results of evaluation {evaluation_id} are gone from {path} or "
            f"incomplete; evaluate again."
        ) from error


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

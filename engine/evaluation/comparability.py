"""Whether two evaluations are comparable, and in one sentence why not: for rows and for frames.

Evaluations are comparable when each uses the published preprocessing of its model, or all use the
same preprocessing. One model with two kinds of preprocessing is not comparable, because the
difference would not be one of its builds. Preprocessing that an import does not state is accepted
with a note: see `unstated_preprocessing_note`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from db.models import Artifact, Evaluation, ImportedBuild
from db.session import reading
from engine.catalog.models import find_model
from engine.errors import InvalidRequest, WorkbenchError
from engine.evaluation.per_image import PerImage
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import Protocol
from engine.specs.comparability import SAME_IMAGES

if TYPE_CHECKING:
    import pandas as pd

OWN_PREPROCESSING = (str(Protocol.PUBLISHED), "the export's own")
NOT_STATED = "not stated"
_OWN = "own"


class Difference(StrEnum):
    """The property in which two evaluations differ, so that they are not comparable."""

    IMAGES = "images"
    LABELS = "labels"
    PREPROCESSING = "preprocessing"


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Why two evaluations are not comparable; `sentence` names both."""

    difference: Difference
    sentence: str


def find_incompatibility(first: Evaluation, second: Evaluation, url: str) -> Incompatibility | None:
    """The first difference among SAME_IMAGES and the preprocessing; None when comparable."""
    names = f"Evaluations {first.id} and {second.id}"
    for name in SAME_IMAGES:
        a, b = getattr(first, name), getattr(second, name)
        # Evaluations of earlier versions have no digest of their images.
        if a != b and not (name == "images_digest" and None in (a, b)):
            difference, explain = _EXPLAIN[name]
            return Incompatibility(difference, f"{names} {explain(first, second)}.")
    if _preprocessing_differs(first, second, url):
        return Incompatibility(
            Difference.PREPROCESSING,
            f"{names} have different preprocessing: {_summary(first)} and {_summary(second)}.",
        )
    return None


def require_same_images(first: Evaluation, second: Evaluation, a: PerImage, b: PerImage) -> None:
    """Raises InvalidRequest unless both have the same images and labels, in the same order."""
    different = None
    if first.dataset_digest != second.dataset_digest or not np.array_equal(a.image, b.image):
        different = "images"
    elif not np.array_equal(a.label, b.label):
        different = "labels"
    if different:
        raise InvalidRequest(
            f"Evaluations {first.id} and {second.id} have different {different}: they cannot be "
            f"compared pairwise."
        )


def unstated_preprocessing_note(first: Evaluation, second: Evaluation) -> str | None:
    """A note where the preprocessing of one of two evaluations is not stated, else None."""
    unstated = [row.id for row in (first, second) if row.preprocess is None]
    if not unstated:
        return None
    which = " and ".join(f"evaluation {i}" for i in unstated)
    return f"The preprocessing is not stated for {which}."


def with_not_comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `not_comparable`: why a row is excluded from the comparison; None where it is not.

    `frame`: results on one set of images, in the columns of the results table.
    """
    frame = frame.assign(not_comparable=None)
    stated = frame[frame["top1"].notna() & (frame["preprocess"] != NOT_STATED)]
    if stated.empty:
        return frame
    prepared = zip(stated["model_id"], stated["preprocess"], stated["preparation"], strict=True)
    own = stated.assign(own=[_uses_own_preprocessing(*row) for row in prepared])["own"]
    preprocessing = stated["preprocess"].where(~own, _OWN)
    majority = _OWN if own.any() else preprocessing.value_counts().index[0]
    excluded = preprocessing != majority
    published = stated["preparation"] == Protocol.PUBLISHED
    several = stated[~excluded].groupby("model_id")["preprocess"].nunique()
    split = stated["model_id"].isin(several.index[several > 1]) & ~excluded
    reference = stated["model_id"].map(
        stated[split & published].groupby("model_id")["preprocess"].first()
    )
    excluded |= split & reference.notna() & (stated["preprocess"] != reference)
    others = "the published one of each model" if majority == _OWN else majority
    reasons = "preprocessing " + stated["preprocess"] + f", others {others}: not compared"
    return frame.assign(not_comparable=reasons.where(excluded).reindex(frame.index).astype(object))


def _preprocessing_differs(first: Evaluation, second: Evaluation, url: str) -> bool:
    if not first.preprocess or not second.preprocess or _digest(first) == _digest(second):
        return False
    models = [_model_id(row, url) for row in (first, second)]
    own = [
        _uses_own_preprocessing(model, _summary(row), row.protocol.get("preprocessing"))
        for model, row in zip(models, (first, second), strict=True)
    ]
    return models[0] == models[1] or not all(own)


def _uses_own_preprocessing(model_id: str | None, preprocess: str, preparation: str | None) -> bool:
    """Whether the preprocessing is the published one of the model, or that of its export."""
    return preparation in OWN_PREPROCESSING or preprocess == _published_preprocessing(model_id)


@lru_cache(maxsize=256)
def _published_preprocessing(model_id: str | None) -> str | None:
    try:
        own = find_model(model_id).preprocess if model_id else None
    except WorkbenchError:
        return None
    return own.summary() if own is not None else None


def _digest(row: Evaluation) -> str | None:
    return PreprocessSpec.from_dict(row.preprocess).digest() if row.preprocess else None


def _summary(row: Evaluation) -> str:
    return PreprocessSpec.from_dict(row.preprocess).summary() if row.preprocess else NOT_STATED


def _datasets(first: Evaluation, second: Evaluation) -> str:
    a, b = (f"{row.dataset_name} ({row.dataset_digest[:8]})" for row in (first, second))
    return f"have different images: {a} and {b}"


def _subsets(first: Evaluation, second: Evaluation) -> str:
    return f"have different images: {_subset(first)} and {_subset(second)} of {first.dataset_name}"


def _subset(row: Evaluation) -> str:
    planned = row.images_planned or row.images
    partial = f", unfinished: {planned:,} planned" if row.images < planned else ""
    identity = row.images_digest[:14] if row.images_digest else "sampled by class"
    return f"{row.images:,} images ({identity}{partial})"


def _label_sets(first: Evaluation, second: Evaluation) -> str:
    return f"have different labels: {first.label_set} and {second.label_set}"


_EXPLAIN: dict[str, tuple[Difference, Callable[[Evaluation, Evaluation], str]]] = {
    "dataset_digest": (Difference.IMAGES, _datasets),
    "images": (Difference.IMAGES, _subsets),
    "images_digest": (Difference.IMAGES, _subsets),
    "label_set": (Difference.LABELS, _label_sets),
}


def build_of(row: Evaluation, url: str) -> Artifact | ImportedBuild | None:
    """The build of an evaluation, made here or imported; None where it was deleted."""
    with reading(url) as session:
        if row.artifact_digest:
            return session.get(Artifact, row.artifact_digest)
        return session.get(ImportedBuild, row.imported_digest)


def _model_id(row: Evaluation, url: str) -> str | None:
    subject = build_of(row, url)
    return subject.model_id if subject else None

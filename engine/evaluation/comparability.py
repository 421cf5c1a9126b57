"""When two evaluations may be compared, and in one sentence why not: for rows and for frames.

Models prepared each in its own published way are comparable, and so are those prepared all in one
way; one model prepared in two ways is not, because the difference would not be that of its builds.
What an import does not state is not held against it: see `remark`.
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

WAYS_OF_THE_MODEL = (str(Protocol.PUBLISHED), "the export's own")
NOT_STATED = "not stated"
_OWN_WAY = "own"


class Differs(StrEnum):
    """In what two evaluations differ so that they are not comparable."""

    IMAGES = "images"
    LABELS = "labels"
    PREPROCESSING = "preprocessing"


@dataclass(frozen=True, slots=True)
class NotComparable:
    """Why two evaluations are not comparable, as a sentence that names both."""

    differs: Differs
    sentence: str


def why_not_comparable(first: Evaluation, second: Evaluation, url: str) -> NotComparable | None:
    """What differs, the first of SAME_IMAGES that does or the preprocessing; None: comparable."""
    names = f"Evaluations {first.id} and {second.id}"
    for name in SAME_IMAGES:
        one, other = getattr(first, name), getattr(second, name)
        # Evaluations of earlier versions do not state the digest of their images.
        if one != other and not (name == "images_digest" and None in (one, other)):
            differs, how = _HOW[name]
            return NotComparable(differs, f"{names} {how(first, second)}.")
    if _prepared_differently(first, second, url):
        return NotComparable(
            Differs.PREPROCESSING,
            f"{names} prepare the images differently: {_summary(first)} against "
            f"{_summary(second)}.",
        )
    return None


def require_same_images(first: Evaluation, second: Evaluation, a: PerImage, b: PerImage) -> None:
    """Raises InvalidRequest unless both hold the same images with the same labels, in one order."""
    different = None
    if first.dataset_digest != second.dataset_digest or not np.array_equal(a.image, b.image):
        different = "not of the same images"
    elif not np.array_equal(a.label, b.label):
        different = "scored with different labels"
    if different:
        raise InvalidRequest(
            f"Evaluations {first.id} and {second.id} are {different}: they cannot be compared "
            f"pairwise."
        )


def remark(first: Evaluation, second: Evaluation) -> str | None:
    """What a reader must know of two evaluations that are comparable as far as can be told."""
    silent = [row.id for row in (first, second) if row.preprocess is None]
    if not silent:
        return None
    which = " and ".join(f"evaluation {i}" for i in silent)
    return f"How the images were prepared is not stated for {which}."


def add_exclusion_reasons(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `not_comparable`: why a row must not be compared with the others; None: it may be.

    `frame`: results of one set of images, in the columns of the results table.
    """
    frame = frame.assign(not_comparable=None)
    told = frame[frame["top1"].notna() & (frame["preprocess"] != NOT_STATED)]
    if told.empty:
        return frame
    prepared = zip(told["model_id"], told["preprocess"], told["preparation"], strict=True)
    own = told.assign(own=[_own_way(*row) for row in prepared])["own"]
    ways = told["preprocess"].where(~own, _OWN_WAY)
    usual = _OWN_WAY if own.any() else ways.value_counts().index[0]
    apart = ways != usual
    published = told["preparation"] == Protocol.PUBLISHED
    several = told[~apart].groupby("model_id")["preprocess"].nunique()
    split = told["model_id"].isin(several.index[several > 1]) & ~apart
    reference = told["model_id"].map(
        told[split & published].groupby("model_id")["preprocess"].first()
    )
    apart |= split & reference.notna() & (told["preprocess"] != reference)
    others = "each in its own way" if usual == _OWN_WAY else f"with {usual}"
    reasons = "prepared with " + told["preprocess"] + f", the others {others}: not compared"
    return frame.assign(not_comparable=reasons.where(apart).reindex(frame.index).astype(object))


def _prepared_differently(first: Evaluation, second: Evaluation, url: str) -> bool:
    if not first.preprocess or not second.preprocess or _digest(first) == _digest(second):
        return False
    models = [_model_of(row, url) for row in (first, second)]
    own = [
        _own_way(model, _summary(row), row.protocol.get("preprocessing"))
        for model, row in zip(models, (first, second), strict=True)
    ]
    return models[0] == models[1] or not all(own)


def _own_way(model_id: str | None, preprocess: str, preparation: str | None) -> bool:
    """Whether images were prepared as the model's own protocol has it."""
    return preparation in WAYS_OF_THE_MODEL or preprocess == _published(model_id)


@lru_cache(maxsize=256)
def _published(model_id: str | None) -> str | None:
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
    one, other = (f"{row.dataset_name} ({row.dataset_digest[:8]})" for row in (first, second))
    return f"are not of the same images: one is of {one}, the other of {other}"


def _subsets(first: Evaluation, second: Evaluation) -> str:
    return (
        f"are not of the same images: {_subset(first)} against {_subset(second)} of "
        f"{first.dataset_name}"
    )


def _subset(row: Evaluation) -> str:
    planned = row.images_planned or row.images
    partial = f", unfinished: {planned:,} planned" if row.images < planned else ""
    return f"{row.images:,} images ({(row.images_digest or 'drawn by class')[:14]}{partial})"


def _label_sets(first: Evaluation, second: Evaluation) -> str:
    return f"are scored with different labels: {first.label_set} against {second.label_set}"


_HOW: dict[str, tuple[Differs, Callable[[Evaluation, Evaluation], str]]] = {
    "dataset_digest": (Differs.IMAGES, _datasets),
    "images": (Differs.IMAGES, _subsets),
    "images_digest": (Differs.IMAGES, _subsets),
    "label_set": (Differs.LABELS, _label_sets),
}


def _model_of(row: Evaluation, url: str) -> str | None:
    with reading(url) as session:
        subject: Artifact | ImportedBuild | None
        if row.artifact_digest:
            subject = session.get(Artifact, row.artifact_digest)
        else:
            subject = session.get(ImportedBuild, row.imported_digest)
    return subject.model_id if subject else None

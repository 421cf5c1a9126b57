"""When two evaluations may be held against each other, and in one sentence why not."""

from __future__ import annotations

from typing import Any

from db.models import Artifact, Evaluation, ImportedBuild
from db.session import reading
from engine.common.digests import data_digest
from engine.preprocess import PreprocessSpec

WAYS_OF_THE_MODEL = ("published", "the export's own")


def comparability_key(row: Evaluation) -> str:
    """Equal for evaluations of the same images, with the same labels, prepared the same way."""
    return data_digest(
        [
            row.dataset_digest,
            row.images,
            row.images_digest,
            row.label_set,
            _preparation(row),
        ]
    )


def why_not_comparable(first: Evaluation, second: Evaluation, url: str) -> str | None:
    """One sentence that names what differs, or None when the two may be compared.

    Two models prepared each in its own published way are comparable; one model prepared in two
    ways is not, because the difference would not be that of its builds. Where an import does not
    state its preprocessing nothing can be said, and nothing is: see `remark`.
    """
    names = f"Evaluations {first.id} and {second.id}"
    if first.dataset_digest != second.dataset_digest:
        return (
            f"{names} are not of the same images: one is of {_dataset(first)}, the other of "
            f"{_dataset(second)}."
        )
    if first.images != second.images or _differ(first.images_digest, second.images_digest):
        return (
            f"{names} are not of the same images: {_subset(first)} against {_subset(second)} "
            f"of {first.dataset_name}."
        )
    if first.label_set != second.label_set:
        return (
            f"{names} are scored with different labels: {first.label_set} against "
            f"{second.label_set}."
        )
    if (
        first.preprocess
        and second.preprocess
        and _differ(_preparation(first), _preparation(second))
    ):
        same_model = _model_of(first, url) == _model_of(second, url)
        if same_model or not _own_ways(first, second):
            return (
                f"{names} prepare the images differently: {_summary(first.preprocess)} against "
                f"{_summary(second.preprocess)}."
            )
    return None


def remark(first: Evaluation, second: Evaluation) -> str | None:
    """What a reader must know of two evaluations that are comparable as far as can be told."""
    silent = [row.id for row in (first, second) if row.preprocess is None]
    if not silent:
        return None
    which = " and ".join(f"evaluation {i}" for i in silent)
    return f"How the images were prepared is not stated for {which}."


def _differ(first: str | None, second: str | None) -> bool:
    return first is not None and second is not None and first != second


def _preparation(row: Evaluation) -> str | None:
    return PreprocessSpec.from_dict(row.preprocess).digest() if row.preprocess else None


def _own_ways(first: Evaluation, second: Evaluation) -> bool:
    return all(row.protocol.get("preprocessing") in WAYS_OF_THE_MODEL for row in (first, second))


def _dataset(row: Evaluation) -> str:
    return f"{row.dataset_name} ({row.dataset_digest[:8]})"


def _subset(row: Evaluation) -> str:
    planned = row.images_planned or row.images
    partial = f", unfinished: {planned:,} planned" if row.images < planned else ""
    return f"{row.images:,} images ({(row.images_digest or 'drawn by class')[:14]}{partial})"


def _summary(preprocess: dict[str, Any]) -> str:
    return PreprocessSpec.from_dict(preprocess).summary()


def _model_of(row: Evaluation, url: str) -> str | None:
    with reading(url) as session:
        subject: Artifact | ImportedBuild | None
        if row.artifact_digest:
            subject = session.get(Artifact, row.artifact_digest)
        else:
            subject = session.get(ImportedBuild, row.imported_digest)
    return subject.model_id if subject else None

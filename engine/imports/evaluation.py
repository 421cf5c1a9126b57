"""Imports predictions of another machine as an evaluation with per-image results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from db.enums import Precision
from db.models import Evaluation, ImportedBuild
from db.session import reading, writing
from engine.common.digests import data_digest, file_digest, images_digest
from engine.common.untrusted import plain_facts
from engine.config import settings
from engine.datasets.classes import ClassMatching, ClassSource, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.label_files import DEFAULT_LABEL_OPTIONS, LabelOptions
from engine.errors import InvalidRequest, LabelsMismatch
from engine.evaluation.chance import is_at_chance, likely_cause
from engine.evaluation.per_image import PerImage, save_per_image
from engine.evaluation.scoring import score_matched, score_top
from engine.imports.builds import record_build, record_environment
from engine.imports.images import ImageSet, find_images, match_images
from engine.imports.predictions import Predictions, read_predictions
from engine.preprocess import PreprocessSpec
from engine.specs.precisions import facts_of
from engine.store.protocols import EvaluationProtocol
from engine.store.shared import publish_result


@dataclass(frozen=True, slots=True)
class OutsideEvaluation:
    """A file of predictions and facts about it; `environment` holds facts of the machine.

    `dataset` is a registered dataset, or a name for images that are not on this machine. Their
    classes come from `labels` (a file) or `per_class` (row i is of class i // per_class).
    """

    file: Path
    model_id: str
    precision: Precision
    source: str
    dataset: str
    labels: LabelOptions = DEFAULT_LABEL_OPTIONS
    per_class: int | None = None
    background: int | None = None
    preprocess: PreprocessSpec | None = None
    environment: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """A file of predictions against its images: what an import would record."""

    images: ImageSet
    columns: PerImage
    matching: ClassMatching
    at_chance: bool


def examine(outside: OutsideEvaluation, url: str) -> Examined:
    """Reads and scores the predictions, and records nothing.

    Raises InvalidRequest for files that do not match, and LabelsMismatch for fp32 predictions with
    an accuracy at chance level.
    """
    plain_facts(outside.environment or {}, "environment")
    predictions = read_predictions(outside.file, outside.background)
    images = find_images(outside.dataset, predictions, outside.labels, outside.per_class, url)
    predictions, image_indices = match_images(predictions, images, outside.file.name)
    matching = _match_classes(predictions, images, outside.file.name)
    columns = _score_predictions(predictions, image_indices, images, matching)
    chance = is_at_chance(columns, matching.outputs)
    if chance and not facts_of(outside.precision).lossy:
        raise LabelsMismatch(
            f"{outside.file.name} is correct on {int(columns.correct.sum())} of {len(columns)} "
            f"images, which is chance level. {likely_cause(columns)} Nothing was imported."
        )
    return Examined(images, columns, matching, chance)


def import_evaluation(outside: OutsideEvaluation, url: str) -> tuple[Evaluation, bool]:
    """Records the evaluation; returns its row, and whether it existed before.

    Raises what `examine` raises; then nothing is recorded.
    """
    examined = examine(outside, url)
    images, columns, matching = examined.images, examined.columns, examined.matching
    build = record_build(outside.model_id, outside.precision, outside.source, url)
    recipe = data_digest(
        [build.digest, images.dataset_digest, file_digest(outside.file), outside.background]
    )
    existing = _find_evaluation(recipe, url)
    path = settings().folder("results") / f"images-{recipe[:32]}.npz"
    save_per_image(path, columns)
    publish_result(path)
    if existing is not None:
        return existing, True
    row = _evaluation_row(outside, build, images, columns, recipe)
    row.at_chance = examined.at_chance
    row.per_image_path = str(path.relative_to(settings().home))
    row.environment_digest = record_environment(outside.environment, url)
    notes = {"class_matching": matching.assumed, "labels": " ".join(images.notes)}
    row.protocol = EvaluationProtocol(
        imported_from=outside.file.name,
        sha256=file_digest(outside.file),
        best_classes_known=None if columns.top is None else columns.top.shape[1],
        scoring="by class index",
        classes=matching.outputs,
        **{name: text for name, text in notes.items() if text},
    ).dump()
    with writing(url) as session:
        session.add(row)
    return row, False


def _score_predictions(
    predictions: Predictions, image_indices: np.ndarray, images: ImageSet, matching: ClassMatching
) -> PerImage:
    label = images.label[image_indices]
    if predictions.top is not None:
        columns = score_top(predictions.top, image_indices, label, predictions.top_probability)
    else:
        assert predictions.scores is not None
        columns = score_matched(
            predictions.scores,
            image_indices,
            label,
            matching,
            probabilities=predictions.probabilities,
        )
    names = predictions.name if images.name is None else images.name[image_indices]
    return PerImage(
        **{name: getattr(columns, name) for name in PerImage.__slots__ if name != "name"},
        name=names,
    )


def _match_classes(predictions: Predictions, images: ImageSet, file: str) -> ClassMatching:
    """Mapping of predictions to classes; raises LabelsMismatch or InvalidRequest without one."""
    outputs = predictions.classes()
    if outputs is not None and images.classes is not None:
        hint = "`import evaluation` takes `--background 0`"
        return match_outputs(file, outputs, None, images.dataset_name, images.classes, hint)
    highest = int(images.label.max())
    listed = None if images.classes is None else len(images.classes)
    classes = listed or outputs or max(len(class_names()), highest + 1)
    if highest >= classes:
        raise InvalidRequest(
            f"{images.dataset_name} has label {highest}, but {file} has only classes 0 to "
            f"{classes - 1}."
        )
    if predictions.top is not None:
        open_end = images.classes and images.classes.source is ClassSource.OPEN_NUMBERS
        classes = max(classes, int(predictions.top.max()) + 1) if open_end else classes
        _check_class_range(predictions.top, classes, file)
    return ClassMatching(classes)


def _check_class_range(top: np.ndarray, classes: int, file: str) -> None:
    low, high = int(top.min()), int(top.max())
    if low >= 0 and high < classes:
        return
    hint = " They seem to start at 1: subtract 1." if low == 1 and high == classes else ""
    if low == 0 and high == classes == len(class_names()):
        hint = " If class 0 is a background class, give --background 0."
    raise InvalidRequest(
        f"{file} predicts classes {low} to {high}, but there are only 0 to {classes - 1}.{hint}"
    )


def _find_evaluation(recipe: str, url: str) -> Evaluation | None:
    with reading(url) as session:
        return session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))


def _evaluation_row(
    outside: OutsideEvaluation,
    build: ImportedBuild,
    images: ImageSet,
    columns: PerImage,
    recipe: str,
) -> Evaluation:
    top1, top5 = columns.counts()
    return Evaluation(
        recipe=recipe,
        imported_digest=build.digest,
        dataset_name=images.dataset_name,
        dataset_digest=images.dataset_digest,
        label_set="dataset" if columns.labeled else "none",
        preprocess=outside.preprocess.to_dict() if outside.preprocess else None,
        images=len(columns),
        images_planned=len(columns),
        images_in_dataset=len(images),
        images_digest=images_digest(columns.image),
        top1_count=top1,
        top5_count=top5,
    )

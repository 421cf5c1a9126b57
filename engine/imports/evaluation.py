"""Imports an evaluation: predictions of another machine become per-image results and a row."""

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
from engine.imports.builds import record_build, record_outside
from engine.imports.images import ImageSet, image_set, match
from engine.imports.predictions import Predictions, read_predictions
from engine.preprocess import PreprocessSpec
from engine.specs.precisions import facts_of
from engine.store.protocols import EvaluationProtocol


@dataclass(frozen=True, slots=True)
class OutsideEvaluation:
    """What is said about a file of predictions; `environment` is the machine, if it is known.

    `dataset` is a registered one, or a name for images that only the other machine has; then
    `labels` (a file) or `per_class` (row i is of class i // per_class) say what they show.
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


def import_evaluation(asked: OutsideEvaluation, url: str) -> tuple[Evaluation, bool]:
    """Records the evaluation; returns its row, and whether it had been imported before.

    Raises InvalidRequest for files that do not fit, and LabelsMismatch for predictions that are
    as right as guesses: then nothing is recorded.
    """
    plain_facts(asked.environment or {}, "environment")  # before anything is recorded
    predictions = read_predictions(asked.file, asked.background)
    images = image_set(asked.dataset, predictions, asked.labels, asked.per_class, url)
    predictions, places = match(predictions, images, asked.file.name)
    matching = _matching(predictions, images, asked.file.name)
    classes = matching.outputs
    columns = _columns(predictions, places, images, matching)
    chance = is_at_chance(columns, classes)
    if chance and not facts_of(asked.precision).lossy:
        raise LabelsMismatch(
            f"{asked.file.name} is right on {int(columns.correct.sum())} of {len(columns)} images, "
            f"as guessing would be. {likely_cause(columns)} Nothing was imported."
        )
    build = record_build(asked.model_id, asked.precision, asked.source, url)
    recipe = data_digest(
        [build.digest, images.dataset_digest, file_digest(asked.file), asked.background]
    )
    known = _existing(recipe, url)
    path = settings().folder("results") / f"images-{recipe[:32]}.npz"
    save_per_image(path, columns)
    if known is not None:
        return known, True
    row = _row(asked, build, images, columns, recipe)
    row.at_chance = chance
    row.per_image_path = str(path.relative_to(settings().home))
    row.environment_digest = record_outside(asked.environment, url)
    told = {"class_matching": matching.assumed, "labels": " ".join(images.notes)}
    row.protocol = EvaluationProtocol(
        imported_from=asked.file.name,
        sha256=file_digest(asked.file),
        best_classes_known=None if columns.top is None else columns.top.shape[1],
        scoring="by class index",
        classes=classes,
        **{name: text for name, text in told.items() if text},
    ).dump()
    with writing(url) as session:
        session.add(row)
    return row, False


def _columns(
    predictions: Predictions, places: np.ndarray, images: ImageSet, matching: ClassMatching
) -> PerImage:
    label = images.label[places]
    if predictions.top is not None:
        columns = score_top(predictions.top, places, label, predictions.top_probability)
    else:
        assert predictions.scores is not None
        columns = score_matched(
            predictions.scores, places, label, matching, probabilities=predictions.probabilities
        )
    names = predictions.name if images.name is None else images.name[places]
    return PerImage(
        **{name: getattr(columns, name) for name in PerImage.__slots__ if name != "name"},
        name=names,
    )


def _matching(predictions: Predictions, images: ImageSet, file: str) -> ClassMatching:
    """How predictions go with classes; LabelsMismatch or InvalidRequest where they cannot fit."""
    given = predictions.classes()
    if given is not None and images.classes is not None:
        hint = "`import evaluation` takes `--background 0`"
        return match_outputs(file, given, None, images.dataset_name, images.classes, hint)
    highest = int(images.label.max())
    known = None if images.classes is None else len(images.classes)
    classes = known or given or max(len(class_names()), highest + 1)
    if highest >= classes:
        raise InvalidRequest(
            f"{images.dataset_name} has label {highest}, {file} only classes 0 to {classes - 1}."
        )
    if predictions.top is not None:
        open_end = images.classes and images.classes.source is ClassSource.OPEN_NUMBERS
        classes = max(classes, int(predictions.top.max()) + 1) if open_end else classes
        _require_range(predictions.top, classes, file)
    return ClassMatching(classes)


def _require_range(top: np.ndarray, classes: int, file: str) -> None:
    low, high = int(top.min()), int(top.max())
    if low >= 0 and high < classes:
        return
    one_based = " They seem to count from 1: subtract 1." if low == 1 and high == classes else ""
    if low == 0 and high == classes == len(class_names()):
        one_based = " If class 0 is a background class, say --background 0."
    raise InvalidRequest(
        f"{file} predicts classes {low} to {high}, but there are only 0 to {classes - 1}."
        f"{one_based}"
    )


def _existing(recipe: str, url: str) -> Evaluation | None:
    with reading(url) as session:
        return session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))


def _row(
    asked: OutsideEvaluation,
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
        preprocess=asked.preprocess.to_dict() if asked.preprocess else None,
        images=len(columns),
        images_planned=len(columns),
        images_in_dataset=len(images),
        images_digest=images_digest(columns.image),
        top1_count=top1,
        top5_count=top5,
    )

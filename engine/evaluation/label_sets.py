"""Label sets: other labels for the same images, each with one, several or no correct class.

ImageNet-ReaL ("Are we done with ImageNet?", Beyer et al. 2020) is a JSON list with one list of
class indices for each ILSVRC2012 validation image, by image number. For other images, the format
is a JSON object `{file name: [class indices]}`. An image with an empty list is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from db.models import Evaluation
from db.session import writing
from engine.common.digests import data_digest, file_digest, images_digest
from engine.common.untrusted import MAX_CLASSES, read_json
from engine.config import settings
from engine.errors import DatasetInvalid, InvalidRequest
from engine.evaluation.per_image import (
    BEYOND_TOP,
    NO_LABEL,
    PerImage,
    find_evaluation,
    load_file_names,
    load_per_image,
    save_per_image,
)
from engine.store.protocols import EvaluationProtocol
from engine.store.shared import publish_result
from engine.text import cut, shown

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")
MAX_NAME_LENGTH = 60
_COPIED_COLUMNS = (
    *("artifact_digest", "imported_digest", "environment_digest", "dataset_name"),
    *("dataset_digest", "preprocess", "images_in_dataset", "at_chance"),
)


def read_label_set(path: Path) -> list[list[int]] | dict[str, list[int]]:
    """The correct classes by position or by file name; DatasetInvalid names the invalid entry."""
    data = read_json(path, DatasetInvalid, lack="is not a readable JSON file")
    if not isinstance(data, list | dict) or not data:
        raise DatasetInvalid(f"{path.name} must hold a JSON list (or object) of lists of indices.")
    for place, answers in data.items() if isinstance(data, dict) else enumerate(data):
        good = isinstance(answers, list) and all(
            type(a) is int and 0 <= a < MAX_CLASSES for a in answers
        )
        if not good:
            raise DatasetInvalid(
                f"{path.name}, entry {cut(str(place))}: expected a list of class indices, found "
                f"{shown(answers)}."
            )
    return data


def match_answers(
    answers: list[list[int]] | dict[str, list[int]], names: np.ndarray | None
) -> list[list[int]]:
    """The correct classes of images with these file names.

    Raises InvalidRequest where a name is not in the label set, or where a list cannot be matched
    because a name has no ILSVRC2012 validation number.
    """
    if names is None:
        raise InvalidRequest(
            "The label set cannot be matched, because the file names of these images are not "
            "recorded: evaluate on a registered dataset, or import with a column `image`."
        )
    full = [str(name) for name in names.tolist()]
    base = [Path(name).name for name in full]
    if isinstance(answers, dict):
        return _by_name(answers, full)
    numbers = [_NUMBER.search(name) for name in base]
    places = [int(number.group(1)) - 1 if number else -1 for number in numbers]
    if min(places) < 0 or max(places) >= len(answers):
        bad = base[next(i for i, p in enumerate(places) if not 0 <= p < len(answers))]
        raise InvalidRequest(
            f"{bad} is not in this label set of {len(answers):,} entries: a list is matched by the "
            f"number in ILSVRC2012_val_XXXXXXXX; for other images use an object by file name."
        )
    return [answers[place] for place in places]


def _by_name(answers: dict[str, list[int]], full: list[str]) -> list[list[int]]:
    """Matches by relative path, else by file name where that is unique on both sides."""
    image_counts = Counter(Path(name).name for name in full)
    entry_counts = Counter(Path(key).name for key in answers)
    by_base = {Path(key).name: classes for key, classes in answers.items()}
    matched: list[list[int]] = []
    absent: list[str] = []
    for name in full:
        base = Path(name).name
        unique = entry_counts[base] == image_counts[base] == 1
        if name in answers:
            matched.append(answers[name])
        elif unique:
            matched.append(by_base[base])
        else:
            absent.append(name)
    if absent:
        raise InvalidRequest(
            f"{len(absent):,} of {len(full):,} images are not in the label set (the first: "
            f"{absent[0]})."
        )
    return matched


def rescore(images: PerImage, answers: list[list[int]]) -> PerImage:
    """The same predictions under other labels; images without a correct class are left out.

    `rank` is the best rank of a correct class among the recorded top classes, `label` the first
    correct class. `truth_probability` is dropped, because it is not recorded for other classes.
    Raises InvalidRequest where the top classes are not recorded.
    """
    if images.top is None:
        raise InvalidRequest("The top classes of this evaluation are not recorded: evaluate again.")
    hits = np.array(
        [np.isin(top, classes) for top, classes in zip(images.top, answers, strict=True)]
    )
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1), BEYOND_TOP).astype(np.int32)
    label = np.array([classes[0] if classes else NO_LABEL for classes in answers], np.int32)
    counted = np.array([bool(classes) for classes in answers])
    return replace(images, rank=rank, label=label, truth_probability=None).subset(counted)


def relabel(evaluation_id: int, path: Path, name: str, url: str) -> Evaluation:
    """Records an evaluation under another label set as a new row, without running the model."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in ("dataset", "none"):
        raise InvalidRequest(
            f"{name!r} is not a valid name of a label set: use letters, digits, `.`, `_` and `-`, "
            f"for example --name real."
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidRequest(
            f"The name of the label set is too long: it may have {MAX_NAME_LENGTH} characters."
        )
    row = find_evaluation(evaluation_id, url)
    if row.images_planned is not None and row.images < row.images_planned:
        raise InvalidRequest(f"Evaluation {row.id} is not complete: wait until it has finished.")
    images = load_per_image(row)
    rescored = rescore(images, match_answers(read_label_set(path), load_file_names(row, images)))
    if not len(rescored):
        raise InvalidRequest(f"{path.name} has no correct class for any of these images.")
    digest = file_digest(path)
    recipe = data_digest([row.recipe, digest])
    target = settings().folder("results") / f"images-{recipe[:32]}.npz"
    save_per_image(target, rescored)
    publish_result(target)
    top1, top5 = rescored.counts()
    with writing(url) as session:
        relabeled = session.query(Evaluation).filter_by(recipe=recipe).one_or_none()
        if relabeled is None:
            relabeled = Evaluation(
                recipe=recipe, **{column: getattr(row, column) for column in _COPIED_COLUMNS}
            )
            session.add(relabeled)
        relabeled.label_set = f"{name} ({digest[:8]})"
        relabeled.images = relabeled.images_planned = len(rescored)
        relabeled.images_digest = images_digest(rescored.image)
        relabeled.top1_count, relabeled.top5_count = top1, top5
        relabeled.per_image_path = str(target.relative_to(settings().home))
        protocol = EvaluationProtocol.from_row(row).without_remaining_counts()
        origin = {
            "relabelled_from": row.id,
            "label_set": path.name,
            "label_set_sha256": digest,
            "without_a_right_answer": len(images) - len(rescored),
        }
        relabeled.protocol = protocol.model_copy(update=origin).dump()
    return relabeled

"""Other labels for the same images: one or several right answers each, none to leave one out.

ImageNet-ReaL ("Are we done with ImageNet?", Beyer et al. 2020) is a JSON list with one list of
class indices for each ILSVRC2012 validation image, in the order of their numbers. A JSON object
`{file name: [indices]}` serves any other images.
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
    PerImage,
    find,
    load,
    names_of,
    save,
)
from engine.store.protocols import EvaluationProtocol
from engine.text import cut, shown

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")
NAME_LENGTH = 60
_KEPT_COLUMNS = (
    *("artifact_digest", "imported_digest", "environment_digest", "dataset_name"),
    *("dataset_digest", "preprocess", "images_in_dataset", "at_chance"),
)


def read_label_set(path: Path) -> list[list[int]] | dict[str, list[int]]:
    """The right answers by place or by file name; DatasetInvalid names what is wrong."""
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


def answers_for(
    answers: list[list[int]] | dict[str, list[int]], names: np.ndarray | None
) -> list[list[int]]:
    """The right answers of images with these file names.

    Raises InvalidRequest where a name is not in the set, and where a list cannot be matched
    because the names carry no ILSVRC2012 validation number.
    """
    if names is None:
        raise InvalidRequest(
            "The file names of these images are not known, so the label set cannot be matched; "
            "evaluate on a registered dataset, or import with a column `image`."
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
            f"{bad} has no place in this label set of {len(answers):,} entries: a list is matched "
            f"by the number in ILSVRC2012_val_XXXXXXXX; for other images give an object by name."
        )
    return [answers[place] for place in places]


def _by_name(answers: dict[str, list[int]], full: list[str]) -> list[list[int]]:
    """By the whole name; by the file's alone where it is the only one of that name on each side."""
    places = Counter(Path(name).name for name in full)
    entries = Counter(Path(key).name for key in answers)
    alone = {Path(key).name: found for key, found in answers.items()}
    found: list[list[int]] = []
    absent: list[str] = []
    for name in full:
        base = Path(name).name
        only_one = entries[base] == places[base] == 1
        if name in answers:
            found.append(answers[name])
        elif only_one:
            found.append(alone[base])
        else:
            absent.append(name)
    if absent:
        raise InvalidRequest(
            f"{len(absent):,} of {len(full):,} images are not in the label set (the first: "
            f"{absent[0]})."
        )
    return found


def rescore(images: PerImage, answers: list[list[int]]) -> PerImage:
    """The same predictions under other labels; images without any right answer are left out.

    `rank` is that of the best placed right answer among the recorded best classes, `label` the
    first of the right ones. What needs a probability for every class is not known any more.
    """
    if images.top is None:
        raise InvalidRequest("This evaluation recorded no best classes; evaluate again.")
    hits = np.array([np.isin(top, right) for top, right in zip(images.top, answers, strict=True)])
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1), BEYOND_TOP).astype(np.int32)
    label = np.array([right[0] if right else -1 for right in answers], np.int32)
    counted = np.array([bool(right) for right in answers])
    return replace(images, rank=rank, label=label, truth_probability=None).subset(counted)


def relabel(evaluation_id: int, path: Path, name: str, url: str) -> Evaluation:
    """Records an evaluation under another label set as a row of its own; nothing is run again."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in ("dataset", "none"):
        raise InvalidRequest(f"{name!r} is no name for a label set; say --name real, for example.")
    if len(name) > NAME_LENGTH:
        raise InvalidRequest(f"The name of a label set has at most {NAME_LENGTH} letters.")
    row = find(evaluation_id, url)
    if row.images_planned is not None and row.images < row.images_planned:
        raise InvalidRequest(f"Evaluation {row.id} is partial; let it finish first.")
    images = load(row)
    found = rescore(images, answers_for(read_label_set(path), names_of(row, images)))
    if not len(found):
        raise InvalidRequest(f"{path.name} has no right answer for any of these images.")
    digest = file_digest(path)
    recipe = data_digest([row.recipe, digest])
    target = settings().folder("results") / f"images-{recipe[:32]}.npz"
    save(target, found)
    top1, top5 = found.counts()
    with writing(url) as session:
        made = session.query(Evaluation).filter_by(recipe=recipe).one_or_none()
        if made is None:
            made = Evaluation(
                recipe=recipe, **{column: getattr(row, column) for column in _KEPT_COLUMNS}
            )
            session.add(made)
        made.label_set = f"{name} ({digest[:8]})"
        made.images = made.images_planned = len(found)
        made.images_digest = images_digest(found.image)
        made.top1_count, made.top5_count = top1, top5
        made.per_image_path = str(target.relative_to(settings().home))
        protocol = EvaluationProtocol.of(row).without_rest()
        about = {
            "relabelled_from": row.id,
            "label_set": path.name,
            "label_set_sha256": digest,
            "without_a_right_answer": len(images) - len(found),
        }
        made.protocol = protocol.model_copy(update=about).dump()
    return made

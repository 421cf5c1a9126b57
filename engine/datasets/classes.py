"""The classes of a dataset, and how they are matched with the outputs of a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.datasets.imagenet import class_names
from engine.errors import LabelsMismatch

SHOWN = 3
BACKGROUND_HINT = (
    "`run`, `evaluate`, `export` and `build` take `--background 0` with the file (on the page: "
    "Background class)"
)


class ClassSource(StrEnum):
    """Where the classes of a dataset come from; the values are stored."""

    INDICES = "ImageNet's 1,000, by class index"
    WNIDS = "ImageNet's 1,000, by wnid"
    NAMES = "names in alphabetical order"
    LIST = "a class list"
    NUMBERS = "numbers"
    OPEN_NUMBERS = "numbers, some of them without an image"


@dataclass(frozen=True, slots=True)
class Classes:
    """Class names in index order.

    `present` (source WNIDS only): the indices of the classes that have images. With OPEN_NUMBERS
    the count is a lower bound: classes above the highest number may have no image.
    """

    names: tuple[str, ...]
    source: ClassSource
    present: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class ClassMatching:
    """Maps the outputs of a model (without a background class) to the classes of a dataset.

    `class_of_output` is None if output i is class i. `assumed` states the assumption in a sentence.
    """

    outputs: int
    class_of_output: tuple[int, ...] | None = None
    assumed: str | None = None

    def outputs_of_labels(self, labels: np.ndarray) -> np.ndarray:
        """The index of the correct output for each label."""
        if self.class_of_output is None:
            return labels
        return np.searchsorted(np.asarray(self.class_of_output), labels)

    def classes_of_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """The class index, in the dataset, of each output."""
        if self.class_of_output is None:
            return outputs
        return np.asarray(self.class_of_output, outputs.dtype)[outputs]


def can_match_outputs(outputs: int, background: int | None, classes: Classes) -> bool:
    """Whether `match_outputs` succeeds."""
    try:
        match_outputs("", outputs, background, "", classes)
    except LabelsMismatch:
        return False
    return True


def match_outputs(
    subject: str,
    outputs: int,
    background: int | None,
    dataset: str,
    classes: Classes,
    hint: str = BACKGROUND_HINT,
) -> ClassMatching:
    """Matches the `outputs` of a model (their total count) with the classes of a dataset.

    For messages: `subject` names the model, `hint` says how to declare a background class.
    Raises LabelsMismatch if outputs and classes cannot be the same.
    """
    scored = outputs - (background is not None)
    total = len(classes)
    if scored == total:
        return ClassMatching(scored, assumed=_assumption(dataset, classes))
    present = classes.present or ()
    if classes.source is ClassSource.WNIDS and scored == len(present):
        return ClassMatching(
            scored,
            present,
            f"Assumed: the {scored:,} outputs are the {scored:,} ImageNet classes of dataset "
            f"{dataset!r}, sorted by wnid.",
        )
    could_be_background = scored == len(class_names()) + 1 and background is None
    if classes.source is ClassSource.OPEN_NUMBERS and scored > total and not could_be_background:
        return ClassMatching(
            scored,
            assumed=f"Assumed: the labels of dataset {dataset!r}, 0 to {total - 1:,}, are indices "
            f"of the {scored:,} outputs; not every class has an image.",
        )
    without = "" if background is None else f" without the background class {background}"
    raise LabelsMismatch(
        f"{subject} has {scored} outputs{without}, dataset {dataset!r} has {total} classes"
        f"{_cause_and_fix(scored, classes, could_be_background, hint)}"
    )


def _assumption(dataset: str, classes: Classes) -> str | None:
    if classes.source is ClassSource.INDICES:
        return None
    if classes.source is ClassSource.WNIDS:
        count = len(classes.present or ())
        if count in (0, len(classes)):
            return None
        return (
            f"Scored over all {len(classes):,} outputs; dataset {dataset!r} has images of only "
            f"{count:,} of these classes."
        )
    first = ", ".join(classes.names[:SHOWN]) + (", ..." if len(classes) > SHOWN else "")
    return (
        f"Assumed: the {len(classes):,} outputs are the {len(classes):,} classes of dataset "
        f"{dataset!r}, in the same order ({first}; source: {classes.source})."
    )


def _cause_and_fix(scored: int, classes: Classes, could_be_background: bool, hint: str) -> str:
    """The end of the sentence on a mismatch: its likely cause and what to do."""
    total, imagenet = len(classes), len(class_names())
    if could_be_background and (total == imagenet or classes.source is ClassSource.OPEN_NUMBERS):
        return (
            ": one output too many for ImageNet. If output 0 is a background class, as in models "
            f"from TF-Hub and TF-Slim, declare it: {hint}."
        )
    if classes.source is ClassSource.WNIDS and len(classes.present or ()) < total:
        return (
            f", of which {len(classes.present or ()):,} have images: neither number matches. Give "
            f"the classes of the model with `dataset add --classes FILE`, one name per line in the "
            f"order of its outputs."
        )
    if (
        classes.source in (ClassSource.NUMBERS, ClassSource.OPEN_NUMBERS)
        and abs(scored - total) == 1
    ):
        return (
            ": a difference of one. If the first class number was not detected correctly, register "
            "the images with `dataset add --label-base 1` (or 0); if a class has no image, with "
            "`--classes FILE`, one name per line."
        )
    return (
        ": these are not the same classes. Choose the dataset of this model, or give its classes "
        "with `dataset add --classes FILE`, one name per line in the order of its outputs."
    )

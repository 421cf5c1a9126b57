"""The classes of a dataset, and how the outputs of a network go with them."""

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
    """Where the classes of a dataset come from."""

    INDICES = "ImageNet's 1,000, by class index"
    WNIDS = "ImageNet's 1,000, by wnid"
    NAMES = "names in alphabetical order"
    LIST = "a class list"
    NUMBERS = "numbers"
    OPEN_NUMBERS = "numbers, some of them without an image"


@dataclass(frozen=True, slots=True)
class Classes:
    """Names by class index. `present` are the indices whose wnid is there, for source WNIDS.

    Of OPEN_NUMBERS the last may be unknown: a class above the highest number can have no image.
    """

    names: tuple[str, ...]
    source: ClassSource
    present: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class ClassMatching:
    """How the outputs of a network, without a background class, go with a dataset's classes.

    `class_of_output` is None where output i is class i. `assumed` says it in a sentence.
    """

    outputs: int
    class_of_output: tuple[int, ...] | None = None
    assumed: str | None = None

    def output_of(self, labels: np.ndarray) -> np.ndarray:
        """The output that is right for each label."""
        if self.class_of_output is None:
            return labels
        return np.searchsorted(np.asarray(self.class_of_output), labels)

    def classes_of(self, outputs: np.ndarray) -> np.ndarray:
        """The class of the dataset that each output means."""
        if self.class_of_output is None:
            return outputs
        return np.asarray(self.class_of_output, outputs.dtype)[outputs]


def fits(outputs: int, background: int | None, classes: Classes) -> bool:
    """Whether `match_outputs` finds a way."""
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
    """Matches `outputs` of a network (all of them) with the classes of a dataset.

    `subject` is what has the outputs, and `hint` how to declare a background class there.
    Raises LabelsMismatch where they do not mean the same classes.
    """
    scored = outputs - (background is not None)
    total = len(classes)
    if scored == total:
        return ClassMatching(scored, assumed=_same(dataset, classes))
    present = classes.present or ()
    if classes.source is ClassSource.WNIDS and scored == len(present):
        return ClassMatching(
            scored,
            present,
            f"The {scored:,} outputs are taken as the {scored:,} ImageNet classes that dataset "
            f"{dataset!r} has, in the order of their wnids.",
        )
    could_be_background = scored == len(class_names()) + 1 and background is None
    if classes.source is ClassSource.OPEN_NUMBERS and scored > total and not could_be_background:
        return ClassMatching(
            scored,
            assumed=f"The labels of dataset {dataset!r}, 0 to {total - 1:,}, are taken as indices "
            f"of the {scored:,} outputs; not every class has an image.",
        )
    without = "" if background is None else f" without the background class {background}"
    raise LabelsMismatch(
        f"{subject} has {scored} outputs{without}, dataset {dataset!r} has {total} classes"
        f"{_ways_out(scored, classes, could_be_background, hint)}"
    )


def _same(dataset: str, classes: Classes) -> str | None:
    if classes.source is ClassSource.INDICES:
        return None
    if classes.source is ClassSource.WNIDS:
        count = len(classes.present or ())
        if count in (0, len(classes)):
            return None
        return (
            f"Scored over all {len(classes):,} outputs; dataset {dataset!r} has images of "
            f"{count:,} of these classes."
        )
    first = ", ".join(classes.names[:SHOWN]) + (", ..." if len(classes) > SHOWN else "")
    return (
        f"The {len(classes):,} outputs are taken as the {len(classes):,} classes of dataset "
        f"{dataset!r}, in its order ({first}; from {classes.source})."
    )


def _ways_out(scored: int, classes: Classes, could_be_background: bool, hint: str) -> str:
    total, imagenet = len(classes), len(class_names())
    if could_be_background and (total == imagenet or classes.source is ClassSource.OPEN_NUMBERS):
        return (
            ": one output too many for ImageNet. If output 0 is a background class, as in networks "
            f"from TF-Hub and TF-Slim, declare it: {hint}."
        )
    if classes.source is ClassSource.WNIDS and len(classes.present or ()) < total:
        return (
            f", of which {len(classes.present or ()):,} are there: neither fits. Give the classes "
            f"of the network with `dataset add --classes FILE`, one name a line in the order of "
            f"its outputs."
        )
    if (
        classes.source in (ClassSource.NUMBERS, ClassSource.OPEN_NUMBERS)
        and abs(scored - total) == 1
    ):
        return (
            ": one apart. If the numbers of the classes begin at 1, or not at 1 as was taken, "
            "register the images with `dataset add --label-base 1` (or 0); if a class has no "
            "image, with `--classes FILE`, one name a line."
        )
    return (
        ": they do not mean the same classes. Choose the dataset of this network, or give its "
        "classes with `dataset add --classes FILE`, one name a line in the order of its outputs."
    )

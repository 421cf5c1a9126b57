"""What a bounded build is to keep, how few images cannot show it, and the words for that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from engine.build.int8.accuracy_control.checkpoint import Step

Z_ONE_SIDED_95 = 1.645
TOP1, AGREEMENT = "top-1", "agreement with fp32"

Margins = Callable[[ModelProto, Callable[[int, int], None]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Bound:
    """`max_drop` in points of `measure` against fp32, within `limit_s` of search.

    `margins` gives those of a model for every image, and reports (done, total) images on the way;
    an image is right where its margin is above 0. `reference` are fp32's own. Without labels, right
    is what fp32 says.
    """

    max_drop: float
    margins: Margins
    reference: np.ndarray
    limit_s: float
    measure: str = TOP1

    def holds(self, step: Step) -> bool:
        """Whether the far end of the paired interval keeps the bound."""
        return step.drop_at_most <= self.max_drop

    def is_expected(self, step: Step) -> bool:
        """Whether the far end of what is expected by the margins keeps the bound."""
        return step.expected.at_most <= self.max_drop

    def can_be_shown(self) -> bool:
        """Whether there are images enough for a paired interval that keeps the bound."""
        return _least_shown(len(self.reference)) <= self.max_drop


def _least_shown(images: int) -> float:
    """The drop in points that so many images cannot rule out although none of them changes."""
    return 100 * Z_ONE_SIDED_95**2 / (images + Z_ONE_SIDED_95**2)


def _images_for(max_drop: float) -> int:
    """How many images show a drop of at most `max_drop` points where none of them changes."""
    return math.ceil(Z_ONE_SIDED_95**2 * (100 / max_drop - 1)) if max_drop > 0 else 0


def too_few(bound: Bound) -> str | None:
    """Says that no step can be shown to keep the bound; None where one can."""
    images = len(bound.reference)
    if bound.can_be_shown():
        return None
    ways = f"it takes {_images_for(bound.max_drop):,}: calibrate on fewer, or on a larger set"
    return (
        f"Only {images} images are left to judge the drop on: they cannot show less than "
        f"{_least_shown(images):.1f} points even if none changes"
        + (f"; {ways}." if bound.max_drop > 0 else ".")
    )


def not_held(bound: Bound, step: Step) -> str:
    """Says that the bound is not shown, whether more images could show it, and what is expected."""
    images = step.judged.n
    text = f"The bound of {bound.max_drop:g} points is not shown to hold on {images} images"
    room = (bound.max_drop - step.drop) / 100
    if room <= 0:
        text += f": the drop itself is {step.drop:.1f} points."
    else:
        needed = (Z_ONE_SIDED_95**2) * (step.changed / images) / room**2
        needed = max(needed, _images_for(bound.max_drop))
        text += f"; with the same share of changed images it would take about {needed:,.0f}."
    least = "the first step" if bound.is_expected(step) else "the step"
    why = "that is expected to keep it" if bound.is_expected(step) else "expected to lose least"
    return f"{text} Taken is {least} {why} by the margins of its scores."

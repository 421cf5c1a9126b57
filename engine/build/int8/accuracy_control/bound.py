"""The accuracy constraint of an int8 build, and how many images are needed to prove it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from engine.build.int8.accuracy_control.checkpoint import EvaluatedCandidate
from engine.text import duration

Z_ONE_SIDED_95 = 1.645
TOP1, AGREEMENT = "top-1", "agreement with fp32"

Margins = Callable[[ModelProto, Callable[[int, int], None]], np.ndarray]


@dataclass(frozen=True, slots=True)
class AccuracyConstraint:
    """At most `max_drop_pp` percentage points of `metric` below fp32, found in `search_limit_s`.

    `compute_margins` returns the score margins of a model for every image and reports progress as
    (done, total) images; an image is correct where its margin is above 0. `reference_margins` are
    those of fp32. Without labels, the class that fp32 predicts counts as correct.
    `expected_step_s` is the time that evaluating a candidate is expected to take.
    """

    max_drop_pp: float
    compute_margins: Margins
    reference_margins: np.ndarray
    search_limit_s: float
    metric: str = TOP1
    expected_step_s: float | None = None

    def is_met(self, step: EvaluatedCandidate) -> bool:
        """Whether the upper limit of the paired confidence interval meets the constraint."""
        return step.drop_upper_limit_pp <= self.max_drop_pp

    def is_expected_to_be_met(self, step: EvaluatedCandidate) -> bool:
        """Whether the upper limit of the drop estimated from margins meets the constraint."""
        return step.expected.upper_limit_pp <= self.max_drop_pp

    def is_provable(self) -> bool:
        """Whether there are enough images for a paired interval that can meet the constraint."""
        return _min_provable_drop_pp(len(self.reference_margins)) <= self.max_drop_pp


def _min_provable_drop_pp(images: int) -> float:
    """Upper limit of the drop (pp) where none of `images` images changes."""
    return 100 * Z_ONE_SIDED_95**2 / (images + Z_ONE_SIDED_95**2)


def _images_needed(max_drop_pp: float) -> int:
    """Number of images that prove a drop of at most `max_drop_pp` where none of them changes."""
    return math.ceil(Z_ONE_SIDED_95**2 * (100 / max_drop_pp - 1)) if max_drop_pp > 0 else 0


def too_few_images_message(constraint: AccuracyConstraint) -> str | None:
    """A warning where there are too few images to prove the constraint, else None."""
    images = len(constraint.reference_margins)
    if constraint.is_provable():
        return None
    needed = f"{_images_needed(constraint.max_drop_pp):,} are needed"
    way_out = f"{needed}: use fewer calibration images or a larger dataset"
    return (
        f"Only {images} images are left to evaluate the drop: they cannot prove less than "
        f"{_min_provable_drop_pp(images):.1f} pp even if no prediction changes"
        + (f"; {way_out}." if constraint.max_drop_pp > 0 else ".")
    )


def time_message(
    constraint: AccuracyConstraint, max_steps: int, analysis_inferences: int
) -> str | None:
    """The time that a search is expected to take, before it starts; None where it is unknown.

    `analysis_inferences` are those of a sensitivity analysis in full.
    """
    step_s = constraint.expected_step_s
    if step_s is None:
        return None
    analysis_s = step_s * analysis_inferences / max(len(constraint.reference_margins), 1)
    most_s = min(max_steps * step_s + analysis_s, constraint.search_limit_s)
    return (
        f"The search evaluates up to {max_steps} candidates on "
        f"{len(constraint.reference_margins):,} images, about {duration(step_s)} each, "
        f"and analyzes the sensitivity in about {duration(analysis_s)}: at most about "
        f"{duration(most_s)}, and building and timing the candidates."
    )


def time_left_message(
    constraint: AccuracyConstraint, step: EvaluatedCandidate, steps_left: int, spent_s: float
) -> str:
    """The time that the remaining candidates take if each takes as long as `step`."""
    left_s = min(steps_left * step.duration_s, constraint.search_limit_s - spent_s)
    return (
        f"Building, timing and evaluating a candidate takes {duration(step.duration_s)}: at most "
        f"about {duration(max(left_s, 0.0))} more."
    )


def fp32_message(constraint: AccuracyConstraint, step: EvaluatedCandidate) -> str | None:
    """Says where fp32 is the better choice than the candidate taken, else None.

    That is where it is not faster than fp32, or not even expected to meet the constraint.
    """
    others = "fp32 meets it; measure other precisions and runtimes, too."
    if not (constraint.is_met(step) or constraint.is_expected_to_be_met(step)):
        faster = "" if step.relative_speed is None else " and is faster than fp32"
        return f"No int8 build was found that meets the constraint{faster}: {others}"
    if step.is_faster_than_fp32 is False:
        return (
            f"The build that meets the constraint runs at about {step.relative_speed:.2f} times "
            f"the speed of fp32 here; none that is faster was found: {others}"
        )
    return None


def not_met_message(constraint: AccuracyConstraint, step: EvaluatedCandidate) -> str:
    """Reports that the constraint is not proven, the images needed for it, and the build taken."""
    images = step.paired.n
    text = f"A max accuracy drop of {constraint.max_drop_pp:g} pp is not proven on {images} images"
    margin = (constraint.max_drop_pp - step.drop_pp) / 100
    if margin <= 0:
        text += f": the measured drop is {step.drop_pp:.1f} pp."
    else:
        needed = (Z_ONE_SIDED_95**2) * (step.changed_images / images) / margin**2
        needed = max(needed, _images_needed(constraint.max_drop_pp))
        text += f"; at the same rate of changed images, about {needed:,.0f} images would be needed."
    chosen = (
        "the first candidate that is expected to meet it"
        if constraint.is_expected_to_be_met(step)
        else "the candidate with the least expected drop"
        + (" of those faster than fp32" if step.is_faster_than_fp32 else "")
    )
    return f"{text} Selected: {chosen}, estimated from score margins."

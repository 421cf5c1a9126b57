"""Comparison of two evaluations of the same images: paired difference, top-1 flips, agreement."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from db.models import Evaluation
from engine.common.stats import PairedDifference, paired_difference, wilson_interval
from engine.errors import InvalidRequest
from engine.evaluation.comparability import (
    Difference,
    find_incompatibility,
    require_same_images,
    unstated_preprocessing_note,
)
from engine.evaluation.flips import find_top1_flips
from engine.evaluation.per_image import PerImage, find_evaluation, load_file_names, load_per_image
from engine.evaluation.worst_class import WorstClass, worst_class


@dataclass(frozen=True, slots=True)
class Agreement:
    """Top-1 agreement of two evaluations, with its 95 % Wilson interval (fractions)."""

    images: int
    same: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pair:
    """`second` compared with `first`; no difference without labels, no agreement without classes.

    `flips`: image, name, label, first, second (top-1 classes), direction ("lost": correct in first
    only; "gained": correct in second only; "changed": another class, with neither correct or
    without labels). `worst_class`: None where no class loses. `remark`: what limits the comparison,
    None if nothing does.
    """

    first: Evaluation
    second: Evaluation
    difference: PairedDifference | None
    top5_difference: PairedDifference | None
    agreement: Agreement | None
    flips: pd.DataFrame
    remark: str | None
    worst_class: WorstClass | None = None


def compare(first_id: int, second_id: int, url: str, *, anyway: bool = False) -> Pair:
    """Compares two evaluations image by image.

    With `anyway`, different preprocessing gives a remark instead of an error. Raises InvalidRequest
    when they are not comparable, ArtifactMissing when per-image results are missing.
    """
    first, second = find_evaluation(first_id, url), find_evaluation(second_id, url)
    reason = find_incompatibility(first, second, url)
    if reason is not None:
        only_preprocessing = reason.difference == Difference.PREPROCESSING
        if not (anyway and only_preprocessing):
            way_out = (
                " Use --ignore-preprocessing to compare them with this difference."
                if only_preprocessing
                else ""
            )
            raise InvalidRequest(reason.sentence + way_out)
    a, b = load_per_image(first), load_per_image(second)
    require_same_images(first, second, a, b)
    return Pair(
        first,
        second,
        difference=paired_difference(a.correct, b.correct) if a.labeled else None,
        top5_difference=_top5(a, b),
        agreement=agreement(a, b),
        flips=find_top1_flips(a, b, load_file_names(first, a)),
        remark=reason.sentence if reason else unstated_preprocessing_note(first, second),
        worst_class=worst_class(a, b),
    )


def _top5(a: PerImage, b: PerImage) -> PairedDifference | None:
    if a.counts()[1] is None or b.counts()[1] is None:
        return None
    return paired_difference(a.rank < 5, b.rank < 5)


def agreement(a: PerImage, b: PerImage) -> Agreement | None:
    """Top-1 agreement; None where the classes of one evaluation are not recorded."""
    if a.best is None or b.best is None:
        return None
    n, same = len(a), int((a.best == b.best).sum())
    return Agreement(n, same, same / n, *wilson_interval(same, n))

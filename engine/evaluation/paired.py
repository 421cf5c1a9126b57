"""Two evaluations of the same images: paired difference, flips with their images, agreement."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from db.models import Evaluation
from engine.common.stats import PairedDifference, paired_difference, wilson_interval
from engine.errors import InvalidRequest
from engine.evaluation.comparability import (
    Differs,
    remark,
    require_same_images,
    why_not_comparable,
)
from engine.evaluation.flips import changed
from engine.evaluation.per_image import PerImage, find, load, names_of


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two evaluations have the same best class, with or without labels (fractions)."""

    images: int
    same: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pair:
    """`b` against `a`; without labels there is no difference, without classes no agreement.

    `flips`: image, name, label, first, second (the best classes), direction ("lost": right
    only in a; "gained": right only in b; "changed": another class, neither right or no labels).
    """

    first: Evaluation
    second: Evaluation
    difference: PairedDifference | None
    top5_difference: PairedDifference | None
    agreement: Agreement | None
    flips: pd.DataFrame
    remark: str | None


def compare(first_id: int, second_id: int, url: str, *, anyway: bool = False) -> Pair:
    """Holds two evaluations against each other, image by image.

    `anyway` turns a difference of preprocessing into a remark. Raises InvalidRequest, in one
    sentence, when they are not comparable, and ArtifactMissing when their files are gone.
    """
    first, second = find(first_id, url), find(second_id, url)
    reason = why_not_comparable(first, second, url)
    if reason is not None:
        only_prepared = reason.differs == Differs.PREPROCESSING
        if not (anyway and only_prepared):
            hint = " `--ignore-preprocessing` compares them all the same."
            way_out = hint if only_prepared else ""
            raise InvalidRequest(reason.sentence + way_out)
    a, b = load(first), load(second)
    require_same_images(first, second, a, b)
    return Pair(
        first,
        second,
        difference=paired_difference(a.right, b.right) if a.labeled else None,
        top5_difference=_top5(a, b),
        agreement=agreement(a, b),
        flips=changed(a, b, names_of(first, a)),
        remark=reason.sentence if reason else remark(first, second),
    )


def _top5(a: PerImage, b: PerImage) -> PairedDifference | None:
    if a.counts()[1] is None or b.counts()[1] is None:
        return None
    return paired_difference(a.rank < 5, b.rank < 5)


def agreement(a: PerImage, b: PerImage) -> Agreement | None:
    """How often the best class is the same; None where one of the two did not record it."""
    if a.best is None or b.best is None:
        return None
    n, same = len(a), int((a.best == b.best).sum())
    return Agreement(n, same, same / n, *wilson_interval(same, n))

"""Where calibration images do not look like evaluation images: classes, brightness, size."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from db.models import Dataset
from engine.datasets.pixel_sample import pixels_of
from engine.datasets.reader import open_index
from engine.datasets.report import PixelFacts
from engine.datasets.sampling import sample_by_class
from engine.errors import WorkbenchError

LARGE_DIFFERENCE = 0.5
"""Of two means, in standard deviations: a medium effect (Cohen 1988)."""
SIGNIFICANT = 3.0
"""In standard errors: 1 in 400 by chance."""
OTHER_SIZE = 2.0
FEW_CLASSES = 0.5


def differences(calibration: Dataset, evaluation: Dataset, images: int) -> Iterator[str]:
    """One sentence for each difference of `images` calibration images; none for equal datasets.

    Of a dataset that was registered before brightness and size were recorded, a sample is read.
    """
    if calibration.digest == evaluation.digest:
        return
    yield from _classes(calibration, evaluation, images)
    facts = [pixels_of(dataset) for dataset in (calibration, evaluation)]
    if facts[0] is not None and facts[1] is not None:
        yield from _pixels(calibration.name, facts[0], evaluation.name, facts[1])


def _classes(calibration: Dataset, evaluation: Dataset, images: int) -> Iterator[str]:
    try:
        ours, theirs = open_index(calibration), open_index(evaluation)
    except WorkbenchError:
        return
    if not (ours.labeled and theirs.labeled) or ours.classes != theirs.classes:
        return
    chosen = sample_by_class(ours.labels, images, 0) if images < len(ours) else slice(None)
    covered = np.isin(np.unique(theirs.labels), ours.labels[chosen])
    possible = min(images, len(ours), len(covered))
    if covered.sum() < FEW_CLASSES * possible:
        yield (
            f"The calibration images cover {int(covered.sum()):,} of the {len(covered):,} classes "
            f"of {evaluation.name}: choose calibration images of the same classes."
        )


def _pixels(
    calibration: str, ours: PixelFacts, evaluation: str, theirs: PixelFacts
) -> Iterator[str]:
    gap = abs(ours.brightness - theirs.brightness)
    spread = math.hypot(ours.brightness_sd, theirs.brightness_sd) / math.sqrt(2)
    error = math.hypot(
        ours.brightness_sd / math.sqrt(max(ours.images, 1)),
        theirs.brightness_sd / math.sqrt(max(theirs.images, 1)),
    )
    tone = "darker" if ours.brightness < theirs.brightness else "brighter"
    if gap > LARGE_DIFFERENCE * spread and gap > SIGNIFICANT * error:
        yield (
            f"The images of {calibration} are {tone} than those of {evaluation}: mean gray level "
            f"{ours.brightness:.0f} against {theirs.brightness:.0f} of 255. The ranges of int8 may "
            f"not fit: calibrate on images like those of the evaluation."
        )
    sizes = sorted((ours.short_side, theirs.short_side))
    if sizes[0] > 0 and sizes[1] / sizes[0] > OTHER_SIZE:
        yield (
            f"The images of {calibration} have another size than those of {evaluation}: median "
            f"short side {ours.short_side:.0f} against {theirs.short_side:.0f} pixels, so they are "
            f"more or less sharp after resizing."
        )

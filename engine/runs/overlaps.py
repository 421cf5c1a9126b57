"""How many images a run would both calibrate and evaluate on; told before anything is queued."""

from __future__ import annotations

import numpy as np

from db.models import Dataset
from engine.datasets.reader import open_index
from engine.datasets.sampling import sample_by_class
from engine.errors import WorkbenchError
from engine.runs.requests import RunRequest

SEED = 0
"""Of both draws, where the request names none."""


def images_of_both(
    request: RunRequest, calibrated: Dataset | None, evaluated: Dataset | None
) -> int:
    """Files in common of one folder; 0 where a set is not registered yet.

    Copies in another folder are found by the evaluation itself, by their bytes.
    """
    if calibrated is None or evaluated is None or calibrated.root != evaluated.root:
        return 0
    try:
        drawn = _drawn(calibrated, request.calibration_images)
        return len(drawn & _drawn(evaluated, request.limit))
    except WorkbenchError:
        return 0


def _drawn(dataset: Dataset, count: int | None) -> set[str]:
    index = open_index(dataset)
    places = np.arange(len(index))
    if count is not None and count < len(index):
        places = sample_by_class(index.labels, count, SEED)
    return {index.files[int(place)] for place in places}

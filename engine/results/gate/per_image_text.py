"""Per-image results inside a result file: one bit an image, so that two files can be paired."""

from __future__ import annotations

import base64
import binascii

import numpy as np
import pandas as pd

from engine.errors import InvalidRequest, WorkbenchError
from engine.evaluation.per_image import find_evaluation, load_per_image

COLUMN = "correct_images"


def with_per_image(frame: pd.DataFrame, url: str) -> pd.DataFrame:
    """Adds `correct_images`: for each evaluated image, whether its top-1 class is right.

    A bit an image in the order of the dataset, as base64; missing without per-image results.
    """
    texts: dict[int, str | None] = {}
    for number in frame["evaluation_id"].dropna().astype(int).unique():
        texts[int(number)] = _text_of(int(number), url)
    return frame.assign(**{COLUMN: frame["evaluation_id"].map(texts).astype(object)})


def _text_of(evaluation_id: int, url: str) -> str | None:
    try:
        images = load_per_image(find_evaluation(evaluation_id, url))
    except WorkbenchError:
        return None
    if not images.labeled:
        return None
    return base64.b64encode(np.packbits(images.correct).tobytes()).decode()


def correct_from(text: object, images: int, source: str) -> np.ndarray | None:
    """(images,) booleans from the text; None where there is none.

    Raises InvalidRequest where it does not hold `images` bits.
    """
    if text is None or text != text:
        return None
    try:
        packed = np.frombuffer(base64.b64decode(str(text), validate=True), np.uint8)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{source}: {COLUMN} is damaged; write the file again.") from error
    if packed.size != (images + 7) // 8:
        raise InvalidRequest(
            f"{source}: {COLUMN} is not of {images:,} images; write the file again."
        )
    return np.unpackbits(packed, count=images).astype(bool)

"""Brightness and size of a dataset that was registered before they were recorded: from a sample."""

from __future__ import annotations

from functools import lru_cache

from db.models import Dataset
from engine.datasets.pixel_facts import DecodedImage, decoded_image, pixel_facts
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.report import DatasetReport, PixelFacts
from engine.datasets.sampling import sample_by_class
from engine.errors import ImageRejected, WorkbenchError
from engine.preprocess import open_image

SAMPLED_IMAGES = 48
"""Decoded in a fraction of a second; the tests of a difference count so many images."""


def pixels_of(dataset: Dataset) -> PixelFacts | None:
    """The recorded facts of a dataset, or those of a sample of its images.

    None where its images cannot be read.
    """
    recorded = DatasetReport.of(dataset).pixels
    if recorded is not None:
        return recorded
    try:
        return _sampled(open_index(dataset))
    except WorkbenchError:
        return None


def _sampled(index: DatasetIndex) -> PixelFacts | None:
    chosen = sample_by_class(index.labels, SAMPLED_IMAGES, seed=0)
    return _facts_of(index.digest, str(index.root), tuple(index.files[int(i)] for i in chosen))


@lru_cache(maxsize=64)
def _facts_of(digest: str, root: str, files: tuple[str, ...]) -> PixelFacts | None:
    decoded = [image for name in files if (image := _decoded(f"{root}/{name}")) is not None]
    return pixel_facts(decoded) if decoded else None


def _decoded(path: str) -> DecodedImage | None:
    try:
        with open(path, "rb") as stream:
            return decoded_image("", open_image(stream.read(), path))
    except (OSError, ImageRejected):
        return None

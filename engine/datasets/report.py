"""What was found when a dataset was registered: the `report` of its row."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from db.models import Dataset
from engine.common.document import Document
from engine.errors import DatasetInvalid


class PixelFacts(Document):
    """Of all images: mean gray level `brightness` (0 to 255), and its SD between images.

    `short_side`: the median of the short sides in pixels.
    """

    images: int = 0
    brightness: float = 0.0
    brightness_sd: float = 0.0
    short_side: float = 0.0


class DatasetReport(Document):
    """How many images are `corrupt`, with the first of them as (file, why).

    `classes_present` have images; `notes` are sentences for the user; `said` is what the user said
    of the labels, by the names of DatasetSpec. `pixels` is None in reports of earlier versions.
    """

    corrupt: int = 0
    corrupt_files: list[tuple[str, str]] = Field(default_factory=list)
    classes_present: int | None = None
    notes: list[str] = Field(default_factory=list)
    said: dict[str, Any] = Field(default_factory=dict)
    pixels: PixelFacts | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetReport:
        """The report of a registered dataset; DatasetInvalid in a sentence where it is damaged."""
        return cls.read(dataset.report, f"The report of dataset {dataset.name!r}", DatasetInvalid)

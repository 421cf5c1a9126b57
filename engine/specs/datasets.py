"""Which images are registered, under which name."""

from __future__ import annotations

from pydantic import Field

from engine.specs.base import Spec

BUILTIN_CALIBRATION = "demo-calibration"
BUILTIN_DATASETS = ("demo", BUILTIN_CALIBRATION)
"""The sets that the workbench draws itself, into its home."""


class DatasetSpec(Spec):
    """A folder to register under a name; a `builtin` set is drawn by the workbench itself."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    root: str | None = None
    labels: str | None = None
    label_columns: tuple[str, str] | None = Field(
        None, description="of the label file, with the image and with the class"
    )
    label_base: int | None = Field(None, ge=0, le=1, description="number of the first class")
    classes: str | None = Field(None, description="file that lists the classes in their order")
    unlabelled: bool = False
    builtin: bool = False
    anew: bool = Field(False, description="draw a built-in set although its folder is there")
    calibration_images: int | None = Field(
        None, ge=1, le=50_000, description="draw so many images to calibrate on, from any folder"
    )
    suffix: str = Field("", description="of those images, without a dot; any if empty")

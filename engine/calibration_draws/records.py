"""Top-1 over several draws of the calibration images, as stored: one JSON file for each build."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from pydantic import Field

from engine.common.document import Document
from engine.common.files import write_text
from engine.common.untrusted import read_json
from engine.config import settings
from engine.errors import ArtifactMissing
from engine.runtimes.registry import label_of
from engine.store.shared import fetch, publish_result


class CalibrationDraws(Document):
    """Numbers of correct images, by runtime, of builds that differ only in their calibration seed.

    `correct`: runtime -> the count of each draw, in the order of `seeds`. `images`: the images that
    were evaluated, `overlapping` of which a draw was calibrated on. `fp32`: count of fp32 in ONNX
    Runtime. `calibration_images`: the images of each draw, out of `calibration_pool`.
    """

    artifact: str
    model_id: str
    dataset: str
    images: int
    overlapping: int = 0
    calibration_images: int | None = None
    calibration_pool: int | None = None
    seeds: list[int] = Field(default_factory=list)
    fp32: int | None = None
    correct: dict[str, list[int]] = Field(default_factory=dict)

    def sentence(self, runtime: str) -> str:
        """`ONNX Runtime: 79.4 % (78.7 to 80.0 %) over 5 draws, SD 0.5 pp.`"""
        shares = [100 * count / self.images for count in self.correct[runtime]]
        spread = f", SD {statistics.stdev(shares):.2f} pp" if len(shares) > 1 else ""
        return (
            f"{label_of(runtime)}: top-1 {statistics.mean(shares):.2f} % ({min(shares):.2f} to "
            f"{max(shares):.2f} %) over {len(shares)} draws{spread}."
        )

    def notes(self) -> list[str]:
        """What the counts are of, in sentences."""
        found = [f"{self.images:,} images of {self.dataset}."]
        if self.fp32 is not None:
            found.append(f"fp32: {100 * self.fp32 / self.images:.2f} %.")
        used, pool = self.calibration_images, self.calibration_pool
        if used is not None and pool is not None and used > pool / 2:
            found.append(
                f"Each draw takes {used:,} of {pool:,} calibration images, so the draws share most "
                f"of them, and the spread is smaller than between other photographs."
            )
        if self.overlapping:
            found.append(
                f"{self.overlapping:,} of these images were used to calibrate one of the draws, so "
                f"the level may be slightly too high; choose another dataset to avoid it."
            )
        return found


def path_of(digest: str) -> Path:
    """Where the draws of an artifact are stored."""
    return settings().home / "results" / "draws" / f"{digest}.json"


def load_draws(digest: str) -> CalibrationDraws | None:
    """The stored draws of an artifact; None before they were made.

    Raises ArtifactMissing where the file is damaged.
    """
    path = path_of(digest)
    if not fetch(path):
        return None
    description = f"The calibration draws of artifact {digest[:12]}"
    return CalibrationDraws.read(read_json(path, ArtifactMissing), description, ArtifactMissing)


def store_draws(draws: CalibrationDraws) -> None:
    """Replaces the stored draws of the artifact."""
    path = path_of(draws.artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(draws.dump(), indent=1))
    publish_result(path)

"""Checkpoint of an accuracy-constrained search, so that a stopped search can be resumed.

It is one small JSON file per build recipe, replaced atomically after every step.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.build.int8.accuracy_control.expected_drop import ExpectedDrop
from engine.build.int8.mixed_precision.layer_times import LayerTimes
from engine.build.int8.mixed_precision.sensitivity import Sensitivity
from engine.common.files import disk_full_as_error
from engine.common.stats import PairedDifference
from engine.config import settings


@dataclass(frozen=True, slots=True)
class EvaluatedCandidate:
    """One candidate build: its layers in float, and its accuracy.

    `float_share` is the share of the convolutions' MACs in float, `paired` the comparison with fp32
    on the same images, `duration_s` the time to build and evaluate it, `relative_speed` its speed
    in multiples of that of fp32 (None: not measured).
    """

    float_share: float
    float_layers: frozenset[str]
    paired: PairedDifference
    expected: ExpectedDrop
    duration_s: float
    relative_speed: float | None = None

    @property
    def drop_pp(self) -> float:
        """Accuracy drop against fp32 in percentage points; positive for a loss."""
        return (0 - self.paired.difference) * 100  # 0 - x, so that 0 is not shown as -0

    @property
    def drop_upper_limit_pp(self) -> float:
        """Upper limit of the drop (percentage points) from the paired confidence interval."""
        return -self.paired.low * 100

    @property
    def is_faster_than_fp32(self) -> bool | None:
        """Whether it is faster than fp32 at first look; None: not measured."""
        return None if self.relative_speed is None else self.relative_speed > 1

    @property
    def changed_images(self) -> int:
        """Number of images that are correct in only one of the two builds."""
        return self.paired.only_a + self.paired.only_b


@dataclass(slots=True)
class SearchCheckpoint:
    """State of a search; `spent_s` sums all attempts; without a path it is kept in memory only."""

    path: Path | None = None
    sensitivity: Sensitivity | None = None
    times: LayerTimes | None = None
    steps: tuple[EvaluatedCandidate, ...] = ()
    spent_s: float = 0.0

    @classmethod
    def load(cls, path: Path) -> SearchCheckpoint:
        """Reads the checkpoint of an earlier attempt; empty if there is none or it is damaged."""
        try:
            return _from_json(path, json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)

    def save(self) -> None:
        """Writes the current state."""
        if self.path is None:
            return
        temporary = self.path.with_name(f"{self.path.name}.part")
        with disk_full_as_error(self.path.parent):
            temporary.write_text(json.dumps(_to_json(self)))
        temporary.replace(self.path)

    def remove(self) -> None:
        """Deletes the checkpoint of a finished search."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def checkpoint_path(recipe: str) -> Path:
    """Path of the checkpoint for the digest of a build recipe."""
    return settings().folder("cache/searches") / f"{recipe}.json"


def _to_json(checkpoint: SearchCheckpoint) -> dict[str, Any]:
    stored = checkpoint.sensitivity
    return {
        "spent_s": checkpoint.spent_s,
        "effects": stored
        and {
            "whole": stored.full_int8,
            "layers": stored.layers,
            "tensors": stored.tensors,
        },
        "times": checkpoint.times and asdict(checkpoint.times),
        "steps": [
            {
                "float_share": step.float_share,
                "kept": sorted(step.float_layers),
                "judged": asdict(step.paired),
                "expected": {
                    "points": step.expected.drop_pp,
                    "at_most": step.expected.upper_limit_pp,
                },
                "seconds": step.duration_s,
                "relative_speed": step.relative_speed,
            }
            for step in checkpoint.steps
        ],
    }


def _from_json(path: Path, plain: dict[str, Any]) -> SearchCheckpoint:
    stored = plain["effects"]
    sensitivity = (
        Sensitivity(
            stored["whole"],
            stored["layers"],
            stored["tensors"],
        )
        if stored
        else None
    )
    steps = tuple(
        EvaluatedCandidate(
            float_share=float(step["float_share"]),
            float_layers=frozenset(step["kept"]),
            paired=PairedDifference(**step["judged"]),
            expected=ExpectedDrop(step["expected"]["points"], step["expected"]["at_most"]),
            duration_s=float(step["seconds"]),
            relative_speed=step["relative_speed"],
        )
        for step in plain["steps"]
    )
    times = LayerTimes(**plain["times"]) if plain["times"] else None
    return SearchCheckpoint(path, sensitivity, times, steps, float(plain["spent_s"]))

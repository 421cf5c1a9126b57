"""What a bounded search has found so far, so that one that was stopped goes on from there.

One small JSON file for each recipe, written whole or not at all after every step.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.build.int8.accuracy_control.expected_drop import ExpectedDrop
from engine.build.int8.mixed_precision.sensitivity import Effects
from engine.common.files import disk_full_as_error
from engine.common.stats import PairedDifference
from engine.config import settings


@dataclass(frozen=True, slots=True)
class Step:
    """One candidate: what it keeps in float, and how it was judged.

    `float_share` is of the convolutions' work; `seconds` is what building and judging it took.
    """

    float_share: float
    kept: frozenset[str]
    judged: PairedDifference
    expected: ExpectedDrop
    seconds: float

    @property
    def drop(self) -> float:
        """Points lost."""
        return (0 - self.judged.difference) * 100  # no minus before zero

    @property
    def drop_at_most(self) -> float:
        """Points lost, at the far end of the interval."""
        return -self.judged.low * 100

    @property
    def changed(self) -> int:
        """Images that are right in one of the two and wrong in the other."""
        return self.judged.only_a + self.judged.only_b


@dataclass(slots=True)
class Journal:
    """`spent_s` is the time of all attempts; without a path nothing outlives the search."""

    path: Path | None = None
    effects: Effects | None = None
    steps: tuple[Step, ...] = ()
    spent_s: float = 0.0

    @classmethod
    def open(cls, path: Path) -> Journal:
        """What an earlier attempt left; empty where there was none, or none that can be read."""
        try:
            return _journal_of(path, json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)

    def save(self) -> None:
        """Keeps what is known now."""
        if self.path is None:
            return
        temporary = self.path.with_name(f"{self.path.name}.part")
        with disk_full_as_error(self.path.parent):
            temporary.write_text(json.dumps(_plain(self)))
        temporary.replace(self.path)

    def remove(self) -> None:
        """Forgets a search that came to its end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def journal_path(recipe: str) -> Path:
    """Where the search of a recipe is kept."""
    return settings().folder("cache/searches") / f"{recipe}.json"


def _plain(journal: Journal) -> dict[str, Any]:
    return {
        "spent_s": journal.spent_s,
        "effects": asdict(journal.effects) if journal.effects else None,
        "steps": [{**asdict(step), "kept": sorted(step.kept)} for step in journal.steps],
    }


def _journal_of(path: Path, plain: dict[str, Any]) -> Journal:
    effects = Effects(**plain["effects"]) if plain["effects"] else None
    steps = tuple(
        Step(
            float_share=float(step["float_share"]),
            kept=frozenset(step["kept"]),
            judged=PairedDifference(**step["judged"]),
            expected=ExpectedDrop(**step["expected"]),
            seconds=float(step["seconds"]),
        )
        for step in plain["steps"]
    )
    return Journal(path, effects, steps, float(plain["spent_s"]))

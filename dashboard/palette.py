"""The colors of the charts, for both themes.

The colors and symbols of the precisions are in `engine.specs.precisions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from db.enums import JobStatus
from engine.specs.precisions import PRECISIONS

PUBLISHED_SYMBOL = "x-thin-open"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colors of one theme; `models`: colors of models, where a chart is colored by them."""

    name: Literal["light", "dark"]
    published: str
    text: str
    grid: str
    background: str
    models: tuple[str, ...]

    @property
    def precisions(self) -> dict[str, str]:
        """The color of each precision, in order."""
        return {name: getattr(facts, self.name) for name, facts in PRECISIONS.items()}


def symbols() -> dict[str, str]:
    """The symbol of each precision, in order."""
    return {name: facts.symbol for name, facts in PRECISIONS.items()}


LIGHT = Palette(
    name="light",
    published="#7a7a7a",
    text="#1f1e1c",
    grid="#e6e4df",
    background="#ffffff",
    models=(
        *("#0072b2", "#d55e00", "#117733", "#aa4499", "#332288", "#8c6d1f"),
        *("#882255", "#2f8f8f"),
    ),
)
DARK = Palette(
    name="dark",
    published="#a0a0a0",
    text="#efede8",
    grid="#35322e",
    background="#171614",
    models=(
        *("#56b4e9", "#e69f00", "#44bb77", "#cc79a7", "#f0e442", "#9c8cff"),
        *("#ff7f6b", "#66d9d9"),
    ),
)

STATUS_COLORS = {
    JobStatus.QUEUED: "gray",
    JobStatus.RUNNING: "blue",
    JobStatus.SUCCEEDED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "orange",
    JobStatus.SKIPPED: "gray",
}
STATUS_ICONS = {
    JobStatus.QUEUED: ":material/schedule:",
    JobStatus.RUNNING: ":material/play_circle:",
    JobStatus.SUCCEEDED: ":material/check_circle:",
    JobStatus.FAILED: ":material/error:",
    JobStatus.CANCELLED: ":material/block:",
    JobStatus.SKIPPED: ":material/skip_next:",
}


def palette_of(theme: str | None) -> Palette:
    """The colors of the browser's theme ("light" or "dark"); light if it is not known."""
    return DARK if theme == "dark" else LIGHT

"""Colors and symbols of the charts, for both themes.

Every precision has its own color and its own symbol, so a reader needs only one of them. The colors
have a contrast of at least 3:1 to the background and the largest distance from each other under
normal, protan, deutan and tritan vision.
"""

from __future__ import annotations

from dataclasses import dataclass

from db.enums import JobStatus, Precision

SYMBOLS: dict[str, str] = {
    Precision.FP32: "circle",
    Precision.FP16: "square",
    Precision.INT8: "diamond",
}
PUBLISHED_SYMBOL = "x-thin-open"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colors of one theme."""

    precisions: dict[str, str]
    published: str
    text: str
    grid: str
    background: str


LIGHT = Palette(
    precisions={
        Precision.FP32: "#332288",
        Precision.FP16: "#648fff",
        Precision.INT8: "#d55e00",
    },
    published="#7a7a7a",
    text="#1f1e1c",
    grid="#e6e4df",
    background="#ffffff",
)
DARK = Palette(
    precisions={
        Precision.FP32: "#aa4499",
        Precision.FP16: "#648fff",
        Precision.INT8: "#d55e00",
    },
    published="#a0a0a0",
    text="#efede8",
    grid="#35322e",
    background="#171614",
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

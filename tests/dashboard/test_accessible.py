"""Every chart, table and image says in words what it shows; colors can be read in both themes."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.palette import DARK, LIGHT, Palette, symbols
from engine.config import REPOSITORY

SHOWN = {"plotly_chart", "dataframe", "image", "table"}
THEMES = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())["theme"]
READABLE, VISIBLE = 4.5, 3.0  # WCAG 2.1: text, and what is not text


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call of a widget that shows a picture or a table."""
    for path in sorted((REPOSITORY / "dashboard").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in SHOWN:
                yield path, node


def test_every_picture_and_table_has_words_of_its_own() -> None:
    found = list(calls())
    assert len(found) > 15
    for path, call in found:
        names = {keyword.arg for keyword in call.keywords}
        assert "alt" in names, f"{path.name}:{call.lineno} has no alt="


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio of two colors `#rrggbb`."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_contrast_of_black_and_white_is_the_greatest() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize(("palette", "theme"), [(LIGHT, "light"), (DARK, "dark")])
def test_charts_can_be_seen_and_read(palette: Palette, theme: str) -> None:
    assert palette.background == THEMES[theme]["backgroundColor"]
    assert contrast(palette.text, palette.background) >= READABLE
    for color in (*palette.precisions.values(), *palette.models, palette.published):
        assert contrast(color, palette.background) >= VISIBLE, color
    assert len(set(palette.precisions.values())) == len(palette.precisions)
    assert len(set(palette.models)) == len(palette.models)


def test_each_precision_has_a_symbol_of_its_own() -> None:
    assert len(set(symbols().values())) == len(symbols())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_can_be_read(theme: str) -> None:
    colors = THEMES[theme]
    for surface in ("backgroundColor", "secondaryBackgroundColor"):
        assert contrast(colors["textColor"], colors[surface]) >= READABLE
        assert contrast(colors["linkColor"], colors[surface]) >= READABLE
    assert contrast(colors["codeTextColor"], colors["codeBackgroundColor"]) >= READABLE
    # Buttons write white on it, and choices write it on the page: both at once allow no more.
    assert contrast(colors["primaryColor"], "#ffffff") >= 3.9
    assert contrast(colors["primaryColor"], colors["backgroundColor"]) >= READABLE

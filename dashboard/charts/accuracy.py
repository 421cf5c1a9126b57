"""Accuracy against what it costs: compute, and time.

Filled marks are on the frontier, hollow ones are beaten; gray ones do not meet the limits; a dot
inside stands at an estimate of the compute, which keeps it out of the frontier.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.accuracy_marks import add_arrows, add_precisions, add_ship
from dashboard.charts.common import front_line, layout, log_axis, log_range, percent_range, safe
from dashboard.charts.names import add_names, brief_names
from dashboard.charts.published import published_trace
from dashboard.palette import Palette, symbols
from engine.common.pareto import pareto_front
from engine.results.groups import collapsed, sound
from engine.results.notes import unreliable

STEP_ASIDE = 0.035  # of the axis


def accuracy_against_compute(
    points: pd.DataFrame, published: pd.DataFrame | None, palette: Palette, images: str
) -> go.Figure:
    """Top-1 over GMACs; `published` as from charts.published.with_gmacs, or None to leave it out.

    `images` names what accuracy was measured on, for the axis. Of `points`, `key` (what a
    selection returns), `meets` (the limits), `ship` (the one) and `estimated` (as from
    charts.published.with_estimates) are optional columns. Points without GMACs are left out.
    """
    figure = go.Figure()
    points = _complete(points[points["compute_gmacs"].notna()])
    xs = [*points["compute_gmacs"], *([] if published is None else published["gmacs"])]
    points = points.assign(drawn_at=_side_by_side(points, xs))
    if published is not None:
        figure.add_trace(published_trace(published, palette))
    add_arrows(figure, points, "drawn_at", palette)
    counted = points[~points["estimated"].astype(bool)]
    best = _best(counted, counted["compute_gmacs"])
    add_precisions(figure, points, "drawn_at", best, palette)
    add_ship(figure, points, "drawn_at", palette)
    ys = [] if published is None else list(published["top1"])
    approximate = published is not None and bool(published["approximate"].any())
    approximate |= bool(points["estimated"].any())
    title = "GMACs an image (log), ← less"
    _axes(figure, points, xs, ys, title + (", published ~" if approximate else ""), images)
    crosses = [] if published is None else list(zip(published["gmacs"], ys, strict=True))
    _name_points(figure, points, "drawn_at", palette, crosses)
    if points.empty and published is not None:
        _name_published(figure, published, palette)
    return layout(figure, palette)


def _side_by_side(points: pd.DataFrame, xs: list[float]) -> pd.Series:
    """Where precisions of equal compute are drawn, so that none hides another."""
    if points["precision"].nunique() < 2:
        return points["compute_gmacs"].astype(float)
    low, high = log_range(xs)
    order = list(symbols())
    places = {name: place - (len(order) - 1) / 2 for place, name in enumerate(order)}
    steps = points["precision"].map(places).astype(float)
    return points["compute_gmacs"].astype(float) * 10 ** (steps * STEP_ASIDE * (high - low))


def accuracy_against_throughput(
    points: pd.DataFrame, palette: Palette, images: str, setting: str
) -> go.Figure:
    """Top-1 over images/s with the frontier of what no other point beats on both.

    Columns as for `accuracy_against_compute`; a `?` stands beside a noisy or unstable speed.
    """
    figure = go.Figure()
    points = _complete(points)
    points = points.assign(rough=unreliable(points))
    add_arrows(figure, points, "images_per_s", palette)
    best = _best(points, -points["images_per_s"])
    front = points.loc[best]
    if len(front) > 1:
        figure.add_trace(front_line(front["images_per_s"], front["top1"], "vh", palette))
    add_precisions(figure, points, "images_per_s", best, palette)
    add_ship(figure, points, "images_per_s", palette)
    title = f"images/s (log scale), {safe(setting)}, faster →"
    xs = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    _axes(figure, points, xs, [], title, images)
    _name_points(figure, points, "images_per_s", palette, _across(front))
    return layout(figure, palette)


def _across(best: pd.DataFrame) -> list[tuple[float, float]]:
    """Places along the level parts of the drawn frontier, so that names keep clear of it."""
    corners = zip(best["images_per_s"], best["top1"], strict=True)
    return [
        (x0 * (x1 / x0) ** (step / 8), y1)
        for (x0, _), (x1, y1) in pairwise(corners)
        for step in range(1, 8)
    ]


def _name_points(
    figure: go.Figure,
    points: pd.DataFrame,
    x: str,
    palette: Palette,
    faint: Sequence[tuple[float, float]] = (),
) -> None:
    """Each model's name at its most accurate point, the most accurate models first.

    The one to ship has its name already; names keep clear of `faint` places where they can.
    """
    names = brief_names(points["label"])
    order = points.sort_values("top1", ascending=False).drop_duplicates("label")
    order = order[~order["label"].isin(points.loc[points["ship"].astype(bool), "label"])]
    wanted = zip(order[x], order["top1"], order["label"].map(names), strict=True)
    taken = list(zip(points[x], points["top1"], strict=True))
    add_names(figure, list(wanted), taken, palette, faint)


def _name_published(figure: go.Figure, published: pd.DataFrame, palette: Palette) -> None:
    """The published rows that no other beats on both; they tell where the others stand."""
    best = published.iloc[pareto_front(published["gmacs"], published["top1"])]
    names = brief_names(best["model_id"])
    wanted = zip(best["gmacs"], best["top1"], best["model_id"].map(names), strict=True)
    taken = list(zip(published["gmacs"], published["top1"], strict=True))
    add_names(figure, list(wanted), taken, palette)


def _complete(points: pd.DataFrame) -> pd.DataFrame:
    given = {"meets": True, "ship": False, "key": "", "estimated": False, "apart": None}
    missing = {name: value for name, value in given.items() if name not in points}
    return points.assign(**missing, collapsed=collapsed(points), rough=False).reset_index(drop=True)


def _best(points: pd.DataFrame, costs: pd.Series) -> list[int]:
    """Row labels of the frontier, by rising cost.

    Collapsed builds never belong to it, nor what may not be compared with the others.
    """
    kept = sound(points)
    return [kept.index[place] for place in pareto_front(costs[kept.index], kept["top1"])]


def _axes(
    figure: go.Figure,
    points: pd.DataFrame,
    xs: list[float],
    more_ys: list[float],
    x_title: str,
    images: str,
) -> None:
    figure.update_xaxes(**log_axis(xs, x_title))
    lows, highs = [*points["top1_low"], *more_ys], [*points["top1_high"], *more_ys]
    figure.update_yaxes(
        range=percent_range(lows, highs),
        title={"text": f"top-1 (%), {safe(images)}, ↑ better"},
    )

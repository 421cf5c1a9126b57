"""Accuracy vs compute and accuracy vs throughput.

Filled marks are on the Pareto front, hollow marks are dominated, gray marks do not meet the
constraints. A dot inside a mark: its GMACs are estimated, so it is never on the Pareto front.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.accuracy_marks import add_arrows, add_precisions, add_recommended
from dashboard.charts.common import (
    layout,
    log_axis,
    pareto_front_line,
    percent_range,
    safe,
)
from dashboard.charts.names import add_names, brief_names
from dashboard.charts.published import published_trace
from dashboard.palette import Palette
from engine.common.pareto import pareto_front
from engine.results.groups import is_collapsed, pareto_candidates
from engine.results.notes import is_unreliable
from engine.runtimes.registry import tag_of


def accuracy_against_compute(
    points: pd.DataFrame, published: pd.DataFrame | None, palette: Palette, images: str
) -> go.Figure:
    """Top-1 over GMACs; `published` as from engine.results.published.with_gmacs; None: not drawn.

    `images`: name of the image set, for the axis. Optional columns of `points`: `key` (returned by
    a selection), `meets` (the constraints), `recommended`, `estimated` (as from with_estimates).
    Points without GMACs are not drawn.
    """
    figure = go.Figure()
    points = _with_defaults(points[points["compute_gmacs"].notna()])
    xs = [*points["compute_gmacs"], *([] if published is None else published["gmacs"])]
    if published is not None:
        figure.add_trace(published_trace(published, palette))
    add_arrows(figure, points, "compute_gmacs", palette)
    counted = points[~points["estimated"].astype(bool)]
    front = _front_rows(counted, counted["compute_gmacs"])
    add_precisions(figure, points, "compute_gmacs", front, palette)
    add_recommended(figure, points, "compute_gmacs", palette)
    ys = [] if published is None else list(published["top1"])
    approximate = published is not None and bool(published["approximate"].any())
    approximate |= bool(points["estimated"].any())
    title = "GMACs per image (log), ← lower is better"
    _axes(figure, points, xs, ys, title + ("; ~ estimated" if approximate else ""), images)
    crosses = [] if published is None else list(zip(published["gmacs"], ys, strict=True))
    _name_points(figure, points, "compute_gmacs", palette, crosses)
    if points.empty and published is not None:
        _name_published(figure, published, palette)
    return layout(figure, palette)


def accuracy_against_throughput(
    points: pd.DataFrame, palette: Palette, images: str, setting: str
) -> go.Figure:
    """Top-1 over images/s with the Pareto front.

    Columns as for `accuracy_against_compute`. A `?` marks an unreliable speed.
    """
    figure = go.Figure()
    points = _with_defaults(points)
    points = points.assign(unreliable=is_unreliable(points))
    add_arrows(figure, points, "images_per_s", palette)
    front_rows = _front_rows(points, -points["images_per_s"])
    front = points.loc[front_rows]
    if len(front) > 1:
        figure.add_trace(pareto_front_line(front["images_per_s"], front["top1"], "vh", palette))
    add_precisions(figure, points, "images_per_s", front_rows, palette)
    add_recommended(figure, points, "images_per_s", palette)
    title = f"images/s (log), {safe(setting)}, higher is better →"
    xs = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    _axes(figure, points, xs, [], title, images)
    _name_points(figure, points, "images_per_s", palette, _points_along(front))
    return layout(figure, palette)


def _points_along(front: pd.DataFrame) -> list[tuple[float, float]]:
    """Points on the horizontal parts of the Pareto front, which names should avoid."""
    corners = zip(front["images_per_s"], front["top1"], strict=True)
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
    avoid: Sequence[tuple[float, float]] = (),
) -> None:
    """Writes each model's name at its most accurate point, the most accurate models first.

    The recommended build has its name already. Names avoid the points `avoid` if possible.
    """
    names = brief_names(points["label"])
    order = points.sort_values("top1", ascending=False).drop_duplicates("label")
    order = order[~order["label"].isin(points.loc[points["recommended"].astype(bool), "label"])]
    candidates = zip(order[x], order["top1"], order["label"].map(names), strict=True)
    occupied = list(zip(points[x], points["top1"], strict=True))
    add_names(figure, list(candidates), occupied, palette, avoid)


def _name_published(figure: go.Figure, published: pd.DataFrame, palette: Palette) -> None:
    """Writes the names of the published rows on the Pareto front."""
    front = published.iloc[pareto_front(published["gmacs"], published["top1"])]
    names = brief_names(front["model_id"])
    candidates = zip(front["gmacs"], front["top1"], front["model_id"].map(names), strict=True)
    occupied = list(zip(published["gmacs"], published["top1"], strict=True))
    add_names(figure, list(candidates), occupied, palette)


def _with_defaults(points: pd.DataFrame) -> pd.DataFrame:
    """Adds the optional columns that are missing."""
    defaults = {
        "meets": True,
        "recommended": False,
        "key": "",
        "estimated": False,
        "not_comparable": None,
        "several_runtimes": False,
        "runtime": None,
    }
    missing = {name: value for name, value in defaults.items() if name not in points}
    points = points.assign(**missing, collapsed=is_collapsed(points), unreliable=False)
    tags = points["runtime"].map(tag_of, na_action="ignore").fillna("")
    points = points.assign(tag=tags.where(points["several_runtimes"].astype(bool), ""))
    return points.reset_index(drop=True)


def _front_rows(points: pd.DataFrame, costs: pd.Series) -> list[int]:
    """Row labels of the Pareto front, by rising cost.

    Collapsed builds and rows that are not comparable are never on it.
    """
    rows = pareto_candidates(points)
    return [rows.index[place] for place in pareto_front(costs[rows.index], rows["top1"])]


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

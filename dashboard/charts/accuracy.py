"""Top-1 accuracy over throughput, latency, compute, size or memory.

Filled marks are on the Pareto front, hollow marks are dominated, gray marks do not meet the
constraints. A dot inside a mark: its GMACs are estimated, so it is never on the Pareto front of
compute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.accuracy_marks import (
    MAX_INTERVALS,
    RECOMMENDED,
    ColorBy,
    add_arrows,
    add_marks,
    add_recommended,
    arrows,
    tag_boxes,
)
from dashboard.charts.common import layout, log_axis, pareto_front_line, percent_range, safe
from dashboard.charts.cost_axes import COMPUTE, GFLOPS, GMACS, THROUGHPUT, CostAxis, with_gflops
from dashboard.charts.names import Segment, add_names, brief_names
from dashboard.charts.published import published_trace
from dashboard.palette import Palette
from engine.common.pareto import pareto_front
from engine.results.groups import is_collapsed, pareto_candidates
from engine.results.notes import is_unreliable
from engine.runtimes.registry import tag_of

FAR = 3.0
"""A limit further than this factor beyond all points is not drawn: it would press them together."""
FAR_PP = 10.0
"""The same for a limit of top-1, in percentage points."""
TWO_LINES_PX = 76


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """What an accuracy chart shows beside its points.

    `images`, `setting`: names of the image set and of the benchmark conditions, for the axes.
    `published`: as from engine.results.published.with_gmacs; None: not drawn. `limit`, `min_top1`:
    constraints on x and on y. `frame`: the points that the ranges of the axes are made for, where
    several charts share them.
    """

    images: str
    setting: str = ""
    published: pd.DataFrame | None = None
    color_by: ColorBy = ColorBy.PRECISION
    limit: float | None = None
    min_top1: float | None = None
    frame: pd.DataFrame | None = None


def accuracy_chart(
    points: pd.DataFrame, axis: CostAxis, palette: Palette, options: ChartOptions
) -> go.Figure:
    """Top-1 over `axis`, with the Pareto front; points without a figure on it are not drawn.

    Optional columns of `points`: `key` (returned by a selection), `meets` (the constraints),
    `recommended`, `estimated` (as from with_estimates). A `?` marks an unreliable speed.
    """
    figure = go.Figure()
    points, x = drawable(points, axis), axis.column
    published = _published_points(options.published) if axis.of_model else None
    if published is not None:
        figure.add_trace(published_trace(published, x, palette))
    drawn = arrows(points, x)
    add_arrows(figure, drawn, palette)
    front_rows = _front_rows(points, axis)
    front = points.loc[front_rows]
    if len(front) > 1:
        shape = "vh" if axis.higher_is_better else "hv"
        figure.add_trace(pareto_front_line(front[x], front["top1"], shape, palette))
    add_marks(figure, points, x, front_rows, palette, options.color_by)
    add_recommended(figure, points, x, palette)
    _axes(figure, points, axis, published, options)
    _add_limits(figure, axis, options, palette)
    lines = [*drawn, *_steps(front, axis), *_intervals(points, x), *_limit_lines(options)]
    _name_points(figure, points, x, palette, published, lines)
    if points.empty and published is not None:
        _name_published(figure, published, x, palette)
    layout(figure, palette)
    return figure.update_layout(margin_b=TWO_LINES_PX) if axis.of_model else figure


def accuracy_against_compute(
    points: pd.DataFrame, published: pd.DataFrame | None, palette: Palette, images: str
) -> go.Figure:
    """Top-1 over GMACs, without constraints; arguments as for `accuracy_chart`."""
    return accuracy_chart(points, COMPUTE, palette, ChartOptions(images, published=published))


def accuracy_against_throughput(
    points: pd.DataFrame, palette: Palette, images: str, setting: str
) -> go.Figure:
    """Top-1 over images/s, without constraints; arguments as for `accuracy_chart`."""
    return accuracy_chart(points, THROUGHPUT, palette, ChartOptions(images, setting))


def drawable(points: pd.DataFrame, axis: CostAxis) -> pd.DataFrame:
    """The points with a figure on the axis, with the optional columns that are missing."""
    if axis.column == GFLOPS:
        points = with_gflops(points)
    points = points[points[axis.column].notna()]
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
    several = points.get("several_runtimes", pd.Series(False, points.index)).astype(bool)
    runtimes = points.get("runtime", pd.Series(None, points.index, dtype=object))
    tags = [
        tag_of(str(runtime)) if shown and isinstance(runtime, str) else ""
        for shown, runtime in zip(several, runtimes, strict=True)
    ]
    points = points.assign(
        **missing,
        collapsed=is_collapsed(points),
        unreliable=False if axis.of_build else is_unreliable(points),
        tag=tags,
    )
    return points.reset_index(drop=True)


def front_keys(points: pd.DataFrame, axis: CostAxis) -> set[str]:
    """The keys of the points on the Pareto front of an axis."""
    rows = drawable(points, axis)
    return set(rows.loc[_front_rows(rows, axis), "key"])


def _published_points(published: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if published is None else with_gflops(published.assign(**{GMACS: published.gmacs}))


def _front_rows(points: pd.DataFrame, axis: CostAxis) -> list[int]:
    """Row labels of the Pareto front, by rising cost.

    Collapsed builds and rows that are not comparable are never on it, nor estimated GMACs.
    """
    rows = pareto_candidates(points)
    if axis.of_model:
        rows = rows[~rows["estimated"].astype(bool)]
    costs = -rows[axis.column] if axis.higher_is_better else rows[axis.column]
    return [rows.index[place] for place in pareto_front(costs, rows["top1"])]


def _axes(
    figure: go.Figure,
    points: pd.DataFrame,
    axis: CostAxis,
    published: pd.DataFrame | None,
    options: ChartOptions,
) -> None:
    frame = points if options.frame is None else drawable(options.frame, axis)
    x, more = axis.column, [] if published is None else list(published["top1"])
    xs = [*frame[x], *([] if published is None else published[x])]
    xs += [value for end in ("low", "high") for value in frame.get(f"{x}_{end}", ())]
    known = [value for value in xs if value == value and value > 0]
    if options.limit and known and min(known) / FAR <= options.limit <= FAR * max(known):
        xs.append(options.limit)
    lows, highs = [*frame["top1_low"], *more], [*frame["top1_high"], *more]
    if options.min_top1 is not None and lows and min(lows) - options.min_top1 <= FAR_PP:
        lows = [*lows, options.min_top1]
    approximate = published is not None and bool(published["approximate"].any())
    approximate |= axis.of_model and bool(points["estimated"].any())
    figure.update_xaxes(**log_axis(xs, axis.title_for(safe(options.setting), approximate)))
    figure.update_yaxes(
        range=percent_range(lows, highs),
        title={"text": f"top-1 (%), {safe(options.images)}, ↑ better"},
    )


def _add_limits(figure: go.Figure, axis: CostAxis, options: ChartOptions, palette: Palette) -> None:
    """Dashed lines at the constraints, with their values at the edge of the plot."""
    line = {"color": palette.text, "dash": "dash", "width": 1}
    font = {"color": palette.text, "size": 11}
    if options.limit is not None:
        text = {"text": f"max {options.limit:g}", "font": font, "yanchor": "bottom"}
        figure.add_vline(x=options.limit, line=line, annotation=text, annotation_position="top")
    if options.min_top1 is not None:
        text = {"text": f"min {options.min_top1:g} %", "font": font, "xanchor": "right"}
        figure.add_hline(
            y=options.min_top1, line=line, annotation=text, annotation_position="top right"
        )


def _name_points(
    figure: go.Figure,
    points: pd.DataFrame,
    x: str,
    palette: Palette,
    published: pd.DataFrame | None,
    lines: Sequence[Segment],
) -> None:
    """Writes each model's name at one point: the recommended build first, then by top-1.

    A name covers no mark, no text beside one, and none of `lines`.
    """
    names = brief_names(points["label"])
    order = points.sort_values([RECOMMENDED, "top1"], ascending=False).drop_duplicates("label")
    candidates = list(zip(order[x], order["top1"], order["label"].map(names), strict=True))
    marks = list(zip(points[x], points["top1"], strict=True))
    crosses = [] if published is None else list(zip(published[x], published["top1"], strict=True))
    add_names(figure, candidates, [*marks, *crosses], palette, tag_boxes(points, x), lines)


def _steps(front: pd.DataFrame, axis: CostAxis) -> list[Segment]:
    """The steps of the Pareto front."""
    corners = zip(front[axis.column], front["top1"], strict=True)
    lines: list[Segment] = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        level, upright = (y1, x0) if axis.higher_is_better else (y0, x1)
        lines += [(x0, level, x1, level), (upright, y0, upright, y1)]
    return lines


def _intervals(points: pd.DataFrame, x: str) -> list[Segment]:
    """The intervals that are drawn: of top-1, and of x where it has one."""
    shown = points[points[RECOMMENDED].astype(bool)] if len(points) > MAX_INTERVALS else points
    columns = [shown[name] for name in (x, "top1", "top1_low", "top1_high")]
    lines = [(at, low, at, high) for at, _, low, high in zip(*columns, strict=True) if low == low]
    if f"{x}_low" in shown:
        ends = zip(shown[f"{x}_low"], shown[f"{x}_high"], shown["top1"], strict=True)
        lines += [(low, top1, high, top1) for low, high, top1 in ends if low == low]
    return lines


def _limit_lines(options: ChartOptions) -> list[Segment]:
    """The lines at the constraints, through the whole plot."""
    lines: list[Segment] = []
    if options.limit:
        lines.append((options.limit, -math.inf, options.limit, math.inf))
    if options.min_top1 is not None:
        lines.append((0.0, options.min_top1, math.inf, options.min_top1))
    return lines


def _name_published(figure: go.Figure, published: pd.DataFrame, x: str, palette: Palette) -> None:
    """Writes the names of the published rows on the Pareto front."""
    front = published.iloc[pareto_front(published[x], published["top1"])]
    names = brief_names(front["model_id"])
    candidates = zip(front[x], front["top1"], front["model_id"].map(names), strict=True)
    occupied = list(zip(published[x], published["top1"], strict=True))
    add_names(figure, list(candidates), occupied, palette)

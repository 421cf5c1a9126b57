"""Accuracy change, speed-up and size ratio of a lower precision."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, card, layout, safe, whiskers
from dashboard.formats import is_missing, number, signed
from dashboard.palette import Palette, symbols
from engine.results.wording import pairs_with_accuracy, pairs_with_speed, significance_text

REFERENCE_DROP_PP = -1.0
ROW_HEIGHT = 34
FRAME_HEIGHT = 130
_RATIOS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64)
_RATIO_TEXTS = ("1/16", "1/8", "1/4", "1/2", "1×", "2×", "4×", "8×", "16×", "32×", "64×")


def accuracy_change(pairs: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Figure:
    """Top-1 of `second` minus `first` (pp), with the paired 95 % interval; sorted by change.

    Columns used: label, drop, drop_low, drop_high, images, dataset, lost, gained, p_value.
    """
    rows = pairs_with_accuracy(pairs).sort_values("change", ascending=False)
    figure = go.Figure(_changes(rows, first, second, palette))
    for row in rows.to_dict("records"):
        figure.add_annotation(
            x=row["change"],
            y=safe(row["label"]),
            text=_change_text(row["change"]),
            showarrow=False,
            yshift=18,
            font={"size": 12, "color": palette.text},
            bgcolor=palette.background,
        )
    _add_reference_lines(figure, palette)
    low = min([REFERENCE_DROP_PP, *rows["change_low"]])
    high = max([0.0, *rows["change_high"]])
    pad = 0.12 * (high - low)
    title = f"top-1, {second} minus {first} (pp),<br>paired 95 % interval, better →"
    figure.update_xaxes(range=[low - pad, high + pad], title={"text": title})
    _rows_axis(figure, len(rows))
    figure = layout(figure, palette, height=_height(len(rows)))
    return figure.update_layout(margin={"t": 34})


def _changes(rows: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Scatter:
    color = palette.precisions[second]
    return go.Scatter(
        x=rows["change"],
        y=[safe(label) for label in rows["label"]],
        error_x=whiskers(rows["change"], rows["change_low"], rows["change_high"], color),
        mode="markers",
        marker={"symbol": symbols()[second], "size": MARKER_SIZE, "color": color},
        customdata=[_change_card(row, first, second) for row in rows.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def _add_reference_lines(figure: go.Figure, palette: Palette) -> None:
    figure.add_vline(x=0, line={"color": palette.text, "width": 1})
    figure.add_vline(
        x=REFERENCE_DROP_PP,
        line={"color": palette.published, "width": 1, "dash": "dash"},
        annotation={
            "text": "−1 pp",
            "font": {"size": 11, "color": palette.published},
            "yanchor": "bottom",
        },
        annotation_position="top",
    )


def speed_and_size(pairs: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Figure:
    """Ratios `second` / `first` on a log axis: throughput (filled) and file size (open square).

    Columns used: label, speed_up with its interval, size_ratio, batch, threads, environment.
    """
    rows = pairs_with_speed(pairs).sort_values("speed_up")
    cards = [_speed_card(row, first, second) for row in rows.to_dict("records")]
    filled = {"symbol": symbols()[second], "color": palette.precisions[second]}
    hollow = {"symbol": "square-open", "color": palette.published, "line": {"width": 2}}
    figure = go.Figure(
        [
            _ratios(rows, "speed_up", "speed-up (higher is better)", filled, cards, palette),
            _ratios(rows, "size_ratio", "size ratio (lower is better)", hollow, cards, palette),
        ]
    )
    figure.data[0].error_x = whiskers(
        rows["speed_up"], rows["speed_up_low"], rows["speed_up_high"], palette.precisions[second]
    )
    figure.add_vline(x=1, line={"color": palette.text, "width": 1})
    ends = [rows[f"speed_up_{end}"].dropna() for end in ("low", "high")]
    values = [1.0, *rows["speed_up"], *rows["size_ratio"], *ends[0], *ends[1]]
    figure.update_xaxes(
        type="log",
        range=[math.log10(min(values) / 1.5), math.log10(max(values) * 1.5)],
        tickvals=list(_RATIOS),
        ticktext=list(_RATIO_TEXTS),
        title={"text": f"{second} vs {first}: ratio (log)"},
    )
    _rows_axis(figure, len(rows))
    return layout(figure, palette, height=_height(len(rows)))


def _ratios(
    rows: pd.DataFrame,
    column: str,
    name: str,
    marker: dict[str, Any],
    cards: list[str],
    palette: Palette,
) -> go.Scatter:
    return go.Scatter(
        x=rows[column],
        y=[safe(label) for label in rows["label"]],
        mode="markers+text",
        text=[f"{ratio:.2f}×" for ratio in rows[column]],
        textposition="top center",
        textfont={"size": 12, "color": palette.text},
        name=name,
        marker={"size": MARKER_SIZE, **marker},
        cliponaxis=False,
        customdata=cards,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _rows_axis(figure: go.Figure, count: int) -> None:
    figure.update_yaxes(
        type="category", range=[-0.7, max(count, 1) - 0.3], title={"text": ""}, automargin=True
    )


def _height(rows: int) -> int:
    return FRAME_HEIGHT + ROW_HEIGHT * max(rows, 3)


def _change_text(change_pp: float) -> str:
    text = signed(change_pp, 2)
    return {"+": f"▲ {text}", "−": f"▼ {text}"}.get(text[0], text)


def _change_card(row: dict[str, Any], first: str, second: str) -> str:
    interval = f"{signed(row['change_low'], 2)} to {signed(row['change_high'], 2)}"
    return card(
        [
            f"<b>{safe(row['label'])}</b>",
            f"{second} vs {first}: {signed(row['change'], 2)} pp top-1 ({interval})",
            f"{row['images']:,} images of {safe(row['dataset'])}",
            f"correct only in {first}: {row['only_first']:,}, "
            f"only in {second}: {row['only_second']:,}",
            f"McNemar p = {row['p_value']:.2g}",
        ]
    )


def _speed_card(row: dict[str, Any], first: str, second: str) -> str:
    return card(
        [
            f"<b>{safe(row['label'])}</b>",
            f"{second} vs {first}: speed-up {number(row['speed_up'], 2)} ×",
            _speed_interval(row),
            f"size ratio {number(row['size_ratio'], 2)} ×",
            f"batch {row['batch']:.0f}, {row['threads']:.0f} threads",
            safe(row["environment"]),
        ]
    )


def _speed_interval(row: dict[str, Any]) -> str:
    """The interval of the speed-up, and whether both were measured in one session."""
    if is_missing(row["speed_up_low"]):
        return "no interval: measured in different sessions"
    low, high = (number(row[f"speed_up_{end}"], 2) for end in ("low", "high"))
    kind = "paired 95 % interval" if row["speed_paired"] else "95 % interval across sessions"
    return f"{kind} {low} to {high}: {significance_text(row['speed_up_p'])}"

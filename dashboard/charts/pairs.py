"""What a lower precision costs in accuracy, and what it brings in speed and size."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, layout, safe
from dashboard.formats import number, signed
from dashboard.palette import SYMBOLS, Palette

TOLERATED_POINTS = -1.0
ROW_HEIGHT = 34
FRAME_HEIGHT = 130
_RATIOS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64)
_RATIO_TEXTS = ("1/16", "1/8", "1/4", "1/2", "1×", "2×", "4×", "8×", "16×", "32×", "64×")


def accuracy_change(pairs: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Figure:
    """Points of top-1, `second` minus `first`, with the paired 95 % interval; sorted by change.

    Columns used: label, drop, drop_low, drop_high, images, dataset, lost, gained, p_value.
    """
    rows = pairs[pairs["drop"].notna()].drop_duplicates(["label", "dataset", "images"])
    rows = rows.sort_values("drop", ascending=False)
    color = palette.precisions[second]
    figure = go.Figure(
        go.Scatter(
            x=rows["drop"],
            y=[safe(label) for label in rows["label"]],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": rows["drop_high"] - rows["drop"],
                "arrayminus": rows["drop"] - rows["drop_low"],
                "thickness": 1.6,
                "width": 5,
                "color": color,
            },
            mode="markers",
            marker={"symbol": SYMBOLS[second], "size": MARKER_SIZE, "color": color},  # type: ignore[index]
            customdata=[_change_card(row, first, second) for row in rows.to_dict("records")],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )
    )
    for row in rows.to_dict("records"):
        figure.add_annotation(
            x=row["drop"],
            y=safe(row["label"]),
            text=_glyph(row["drop"]),
            showarrow=False,
            yshift=18,
            font={"size": 12, "color": palette.text},
            bgcolor=palette.background,
        )
    figure.add_vline(x=0, line={"color": palette.text, "width": 1})
    figure.add_vline(
        x=TOLERATED_POINTS,
        line={"color": palette.published, "width": 1, "dash": "dash"},
        annotation={
            "text": "−1 point",
            "font": {"size": 11, "color": palette.published},
            "yanchor": "bottom",
        },
        annotation_position="top",
    )
    low = min([TOLERATED_POINTS, *rows["drop_low"]])
    high = max([0.0, *rows["drop_high"]])
    pad = 0.12 * (high - low)
    figure.update_xaxes(
        range=[low - pad, high + pad],
        title={
            "text": f"top-1, {second} minus {first} (points),<br>paired 95 % interval, better →"
        },
    )
    _rows_axis(figure, len(rows))
    figure = layout(figure, palette, height=_height(len(rows)))
    return figure.update_layout(margin={"t": 34})


def speed_and_size(pairs: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Figure:
    """`second` over `first` on one log axis: throughput (filled) and file size (open square).

    Columns used: label, speed_up, size_ratio, batch, threads, environment.
    """
    rows = pairs[pairs["speed_up"].notna()].drop_duplicates(["label", "batch", "threads"])
    rows = rows.sort_values("speed_up")
    labels = [safe(label) for label in rows["label"]]
    color = palette.precisions[second]
    cards = [_speed_card(row, first, second) for row in rows.to_dict("records")]
    figure = go.Figure()
    for name, column, symbol in (
        ("throughput (more is faster)", "speed_up", SYMBOLS[second]),  # type: ignore[index]
        ("file size (less is smaller)", "size_ratio", "square-open"),
    ):
        filled = not symbol.endswith("-open")
        figure.add_trace(
            go.Scatter(
                x=rows[column],
                y=labels,
                mode="markers+text",
                text=[f"{ratio:.2f}×" for ratio in rows[column]],
                textposition="top center",
                textfont={"size": 12, "color": palette.text},
                name=name,
                marker={
                    "symbol": symbol,
                    "size": MARKER_SIZE,
                    "color": color if filled else palette.published,
                    "line": {"width": 2} if not filled else {"width": 0},
                },
                cliponaxis=False,
                customdata=cards,
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    figure.add_vline(x=1, line={"color": palette.text, "width": 1})
    values = [1.0, *rows["speed_up"], *rows["size_ratio"]]
    low, high = min(values) / 1.5, max(values) * 1.5
    figure.update_xaxes(
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=list(_RATIOS),
        ticktext=list(_RATIO_TEXTS),
        title={"text": f"{second} divided by {first} (log scale)"},
    )
    _rows_axis(figure, len(rows))
    return layout(figure, palette, height=_height(len(rows)))


def _rows_axis(figure: go.Figure, count: int) -> None:
    figure.update_yaxes(
        type="category", range=[-0.7, max(count, 1) - 0.3], title={"text": ""}, automargin=True
    )


def _height(rows: int) -> int:
    return FRAME_HEIGHT + ROW_HEIGHT * max(rows, 3)


def _glyph(points: float) -> str:
    text = signed(points, 2)
    return {"+": f"▲ {text}", "−": f"▼ {text}"}.get(text[0], text)


def _change_card(row: dict[str, object], first: str, second: str) -> str:
    interval = (
        f"{signed(float(str(row['drop_low'])), 2)} to {signed(float(str(row['drop_high'])), 2)}"
    )
    return "<br>".join(
        [
            f"<b>{safe(row['label'])}</b>",
            f"{second} minus {first}: {signed(float(str(row['drop'])), 2)} points ({interval})",
            f"{row['images']:,} images of {safe(row['dataset'])}",
            f"right only in {first}: {row['lost']:,}, only in {second}: {row['gained']:,}",
            f"McNemar p = {row['p_value']:.2g}",
        ]
    )


def _speed_card(row: dict[str, object], first: str, second: str) -> str:
    return "<br>".join(
        [
            f"<b>{safe(row['label'])}</b>",
            f"{second} has {number(row['speed_up'], 2)} × the images/s of {first}",
            f"and {number(row['size_ratio'], 2)} × its size",
            f"batch {row['batch']:.0f}, {row['threads']:.0f} threads",
            safe(row["environment"]),
        ]
    )

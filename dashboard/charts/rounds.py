"""Throughput over the rounds of a measuring session, with the machine's own speed behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, layout, log_axis, safe
from dashboard.formats import number
from dashboard.palette import Palette, symbols
from engine.benchmark.machine_state import state_sentence
from engine.specs.precisions import facts_of
from engine.store.protocols import BenchmarkProtocol, MachineState


@dataclass(frozen=True, slots=True)
class MeasuredRounds:
    """One build of a session: its label and precision, and the protocol with its rounds."""

    label: str
    precision: str
    protocol: BenchmarkProtocol


def takeaway(builds: Sequence[MeasuredRounds]) -> str:
    """Number of rounds, and how the machine behaved; of builds of one session, one at least."""
    rounds = max(len(build.protocol.rounds) for build in builds)
    own = f"the machine's own speed: {_machine_text(builds[0].protocol.speedometer)}"
    moving = [
        f"{build.precision}: {text}"
        for build in builds
        if (text := state_sentence(build.protocol.machine))
    ]
    return "; ".join([f"{rounds} rounds", own, *moving]) + "."


def _machine_text(state: MachineState | None) -> str:
    """`two speeds: ...`, or the lowest and the highest reading."""
    if state is None:
        return "not measured"
    found = state_sentence(state, "GFLOP/s")
    return found or f"{number(state.low)} to {number(state.high)} GFLOP/s"


def throughput_over_rounds(builds: Sequence[MeasuredRounds], palette: Palette) -> go.Figure:
    """Images/s of each build (left axis, log) and the speedometer (right axis, filled) by round."""
    figure = go.Figure(_speedometer(builds, palette))
    for build in builds:
        color = palette.precisions[build.precision]
        figure.add_trace(
            go.Scatter(
                x=[one.number + 1 for one in build.protocol.rounds],
                y=[one.images_per_s for one in build.protocol.rounds],
                name=safe(f"{build.label} {build.precision}"),
                mode="lines+markers",
                line={"color": color, "width": 1.6, "dash": facts_of(build.precision).stroke},
                marker={
                    "symbol": symbols()[build.precision],
                    "size": MARKER_SIZE - 4,
                    "color": color,
                },
                hovertemplate="round %{x}: %{y:.4g} images/s<extra></extra>",
            )
        )
    rates = [one.images_per_s for build in builds for one in build.protocol.rounds]
    figure.update_xaxes(title={"text": "round"}, dtick=_tick(builds))
    figure = layout(figure, palette, height=360)
    axis = log_axis(rates, "images/s, ↑ better")
    return figure.update_layout(
        yaxis={**axis, "overlaying": "y2", "side": "left"},
        yaxis2={
            "side": "right",
            "title": {"text": "machine's own speed (GFLOP/s)"},
            "rangemode": "tozero",
            "showgrid": False,
        },
    )


def _speedometer(builds: Sequence[MeasuredRounds], palette: Palette) -> go.Scatter:
    """The mean reading of each round, as an area."""
    readings: dict[int, list[float]] = {}
    for build in builds:
        for one in build.protocol.rounds:
            if one.machine_gflops:
                readings.setdefault(one.number + 1, []).append(one.machine_gflops)
    numbers = sorted(readings)
    return go.Scatter(
        x=numbers,
        y=[sum(readings[number]) / len(readings[number]) for number in numbers],
        name="machine's own speed",
        yaxis="y2",
        mode="lines",
        line={"color": palette.published, "width": 1, "shape": "hvh"},
        fill="tozeroy",
        fillcolor="rgba(128, 128, 128, 0.15)",
        hovertemplate="round %{x}: %{y:.3g} GFLOP/s<extra></extra>",
    )


def _tick(builds: Sequence[MeasuredRounds]) -> int:
    rounds = max(len(build.protocol.rounds) for build in builds)
    return max(1, rounds // 10)

"""Metrics of a measurement: throughput, latencies, and the file of raw latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.models import Artifact
from engine.benchmark.machine_state import observe_state
from engine.benchmark.measurement import Measurement
from engine.benchmark.session import Turn, is_stable, throughput_interval
from engine.benchmark.windows import Window
from engine.common.files import save_arrays
from engine.common.ratios import block_intervals
from engine.common.stats import latency_percentiles
from engine.config import settings
from engine.specs import BenchmarkSpec
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol, Round, ScenarioFacts, SpeedUp
from engine.store.shared import publish_result

LATENCY_STATISTICS = ("mean", "p50", "p90", "p95", "p99")
INPUT = "standard normal float32, made before the clock starts"


FRESH_WARM_UP_S = 0.1
"""Duration of the requests of a fresh process that are not counted, in a session."""
MAX_WAITING_CORES = 0.05
"""A build that uses more while it waits for its turn disturbs the others."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measured result: columns of its row, its protocol, its windows, and a summary sentence.

    `reasons`: why it counts as disturbed, beside other load on the machine.
    """

    figures: dict[str, Any]
    protocol: BenchmarkProtocol
    windows: tuple[Window, ...]
    summary: str = ""
    reasons: tuple[str, ...] = ()


def speed_figures(measured: Measurement, artifact: Artifact) -> dict[str, Any]:
    """Columns of a benchmark row: images/s with its range, latencies in ms, GMAC/s."""
    windows = measured.reported
    rates = [window.images_per_s for window in windows]
    rate = sum(w.images for w in windows) / sum(w.elapsed_s for w in windows)
    return {
        **throughput_figures(rate, artifact),
        "images_per_s_low": min(rates),
        "images_per_s_high": max(rates),
        **latency_figures(np.concatenate([window.latencies_ms for window in windows])),
        "stable": measured.stable,
    }


def session_outcome(
    turns: Sequence[Turn],
    artifact: Artifact,
    spec: BenchmarkSpec,
    *,
    session: str,
    waiting_cores: float,
    speed_up: SpeedUp | None = None,
) -> Outcome:
    """The result of one build of a session, over all of its rounds, with intervals between them."""
    windows = tuple(turn.window for turn in turns)
    rates = [window.images_per_s for window in windows]
    rate = sum(w.images for w in windows) / sum(w.elapsed_s for w in windows)
    latencies = latency_figures(np.concatenate([w.latencies_ms for w in windows]))
    interval = throughput_interval(windows)
    readings = [turn.machine_gflops for turn in turns if turn.machine_gflops]
    protocol = BenchmarkProtocol(
        warm_up_s=FRESH_WARM_UP_S,
        windows=len(windows),
        reported_windows=len(windows),
        window_images_per_s=[round(rate, 3) for rate in rates],
        window_s=spec.window_s,
        tolerance=spec.tolerance,
        max_s=spec.max_s,
        processes=spec.processes,
        input=INPUT,
        session=session,
        rounds=[
            Round(
                number=turn.number,
                launch=turn.launch,
                position=turn.position,
                images_per_s=round(turn.window.images_per_s, 3),
                machine_gflops=turn.machine_gflops and round(turn.machine_gflops, 3),
            )
            for turn in turns
        ],
        intervals=latency_intervals(windows, latencies),
        machine=observe_state(rates),
        speedometer=observe_state(readings),
        waiting_cores=round(waiting_cores, 4),
        speed_up=speed_up,
    )
    figures = {
        **throughput_figures(rate, artifact),
        "images_per_s_low": interval[0] if interval else None,
        "images_per_s_high": interval[1] if interval else None,
        **latencies,
        "stable": is_stable(interval, spec.tolerance),
    }
    waiting = waiting_cores > MAX_WAITING_CORES
    reasons = (f"it used {waiting_cores:.2f} cores while it waited for its turn",)
    return Outcome(figures, protocol, windows, reasons=reasons if waiting else ())


def latency_intervals(
    windows: Sequence[Window], figures: dict[str, Any]
) -> dict[str, tuple[float, float]]:
    """95 % intervals between rounds of the latency columns that have a figure, in ms."""
    names = [name for name in LATENCY_STATISTICS if figures[f"latency_{name}_ms"] is not None]
    levels = [float(name[1:]) for name in names if name != "mean"]
    each = [window.latencies_ms for window in windows]

    def statistics(drawn: np.ndarray) -> list[float]:
        pooled = np.concatenate([each[number] for number in drawn])
        return [float(pooled.mean()), *np.percentile(pooled, levels)]

    found = block_intervals(len(windows), statistics)
    columns = [f"latency_{name}_ms" for name in names]
    return {
        column: (round(low, 4), round(high, 4))
        for column, (low, high) in zip(columns, found or (), strict=False)
    }


def throughput_figures(images_per_s: float, artifact: Artifact) -> dict[str, Any]:
    """Images/s and the achieved GMAC/s (None where the MACs are not known)."""
    gmacs = ExportManifest.from_artifact(artifact).compute.gmacs
    return {
        "images_per_s": images_per_s,
        "achieved_gmacs_per_s": gmacs * images_per_s if gmacs else None,
    }


def latency_figures(latencies_ms: np.ndarray) -> dict[str, Any]:
    """Mean and percentiles in ms (p99 None under 100 requests), and the number of requests."""
    percentiles = latency_percentiles(latencies_ms)
    return {
        "samples": int(latencies_ms.size),
        **{f"latency_{name}_ms": percentiles[name] for name in LATENCY_STATISTICS},
    }


def save_latencies(windows: Sequence[Window], name: str) -> str:
    """Writes every latency (ms) with its window number; returns the path relative to the home."""
    path = settings().folder("results") / f"latencies-{name}.npz"
    numbers = [np.full(w.latencies_ms.size, i) for i, w in enumerate(windows)]
    save_arrays(
        path,
        latency_ms=np.concatenate([w.latencies_ms for w in windows]).astype(np.float32),
        window=np.concatenate(numbers).astype(np.int16),
    )
    publish_result(path)
    return str(path.relative_to(settings().home))


def build_protocol(
    measured: Measurement, spec: BenchmarkSpec, scenario: ScenarioFacts, readings: Sequence[float]
) -> BenchmarkProtocol:
    """How a scenario was measured: the stored protocol of the result.

    `readings`: those of the speedometer, in GFLOP/s.
    """
    return BenchmarkProtocol(
        warm_up_s=round(measured.warm_up_s, 3),
        windows=len(measured.windows),
        reported_windows=len(measured.reported),
        window_images_per_s=[round(w.images_per_s, 3) for w in measured.windows],
        window_s=spec.window_s,
        tolerance=spec.tolerance,
        max_s=spec.max_s,
        processes=spec.processes,
        input=INPUT,
        scenario=scenario,
        speedometer=observe_state(readings),
    )

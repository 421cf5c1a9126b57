"""Metrics of a measurement: throughput, latencies, and the file of raw latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.models import Artifact
from engine.benchmark.measurement import Measurement
from engine.benchmark.windows import Window
from engine.common.files import save_arrays
from engine.common.stats import latency_percentiles
from engine.config import settings
from engine.specs import BenchmarkSpec
from engine.store.manifest import ExportManifest
from engine.store.protocols import BenchmarkProtocol, ScenarioFacts

LATENCY_STATISTICS = ("mean", "p50", "p90", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measured result: columns of its row, its protocol, its windows, and a summary sentence."""

    figures: dict[str, Any]
    protocol: BenchmarkProtocol
    windows: tuple[Window, ...]
    summary: str


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
    return str(path.relative_to(settings().home))


def build_protocol(
    measured: Measurement, spec: BenchmarkSpec, scenario: ScenarioFacts | None = None
) -> BenchmarkProtocol:
    """How it was measured: the stored protocol of the result."""
    protocol = BenchmarkProtocol(
        warm_up_s=round(measured.warm_up_s, 3),
        windows=len(measured.windows),
        reported_windows=len(measured.reported),
        window_images_per_s=[round(w.images_per_s, 3) for w in measured.windows],
        window_s=spec.window_s,
        tolerance=spec.tolerance,
        max_s=spec.max_s,
        processes=spec.processes,
        input="standard normal float32, made before the clock starts",
    )
    return protocol.model_copy(update={"scenario": scenario}) if scenario else protocol

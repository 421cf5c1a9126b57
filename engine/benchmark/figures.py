"""What a measurement comes to: throughput, latencies, and their raw values kept in a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from db.tables import Artifact
from engine.benchmark.measuring import Measured
from engine.config import settings
from engine.files import save_arrays
from engine.specs import BenchmarkSpec
from engine.stats import latency_percentiles


def speed_figures(measured: Measured, artifact: Artifact) -> dict[str, Any]:
    """Columns of a benchmark's row: images/s with its range, latencies in ms, GMAC/s."""
    windows = measured.reported
    rates = [window.images_per_s for window in windows]
    rate = sum(w.images for w in windows) / sum(w.elapsed_s for w in windows)
    latencies = np.concatenate([window.latencies_ms for window in windows])
    percentiles = latency_percentiles(latencies)
    gmacs = (artifact.manifest.get("compute") or {}).get("gmacs")
    return {
        "images_per_s": rate,
        "images_per_s_low": min(rates),
        "images_per_s_high": max(rates),
        "samples": int(latencies.size),
        "achieved_gmacs_per_s": gmacs * rate if gmacs else None,
        **{
            f"latency_{name}_ms": percentiles[name] for name in ("mean", "p50", "p90", "p95", "p99")
        },
    }


def keep_latencies(measured: Measured, name: str) -> str:
    """Writes every latency with the number of its window; returns the path under home."""
    path = settings().folder("results") / f"latencies-{name}.npz"
    numbers = [np.full(w.latencies_ms.size, i) for i, w in enumerate(measured.windows)]
    save_arrays(
        path,
        latency_ms=np.concatenate([w.latencies_ms for w in measured.windows]).astype(np.float32),
        window=np.concatenate(numbers).astype(np.int16),
    )
    return str(path.relative_to(settings().home))


def protocol_of(measured: Measured, spec: BenchmarkSpec, load_1min: float) -> dict[str, Any]:
    """How it was measured, as stored beside the figures."""
    return {
        "warm_up_s": round(measured.warm_up_s, 3),
        "window_s": spec.window_s,
        "windows": len(measured.windows),
        "reported_windows": len(measured.reported),
        "tolerance": spec.tolerance,
        "max_s": spec.max_s,
        "window_images_per_s": [round(w.images_per_s, 3) for w in measured.windows],
        "load_1min_before": load_1min,
        "processes": spec.processes,
        "input": "standard normal float32, made before the clock starts",
    }

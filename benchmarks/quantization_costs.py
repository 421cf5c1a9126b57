"""Time and memory of builds with random weights, ours and those of other tools."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks.quantization import say
from benchmarks.quantization_peers import peer_builds
from benchmarks.quantization_processes import BuildCost, fresh_rates, speed_up
from benchmarks.quantization_setup import Bench, Model
from benchmarks.quantization_speed import DRAWN, FEW_IMAGES, register_calibration_set
from engine.store import artifacts


def costs_of(bench: Bench, model: Model) -> list[dict[str, Any]]:
    """One row per int8 build, calibrated on FEW_IMAGES images: cost, and speed in ONNX Runtime."""
    register_calibration_set(bench)
    fp32 = artifacts.model_path(bench.build(model, "fp32", DRAWN).digest)
    ours, cost = bench.build_in_process(model, DRAWN, images=FEW_IMAGES)
    found: dict[str, tuple[Path, BuildCost | None]] = {
        "fp32": (fp32, None),
        "int8 mse": (artifacts.model_path(ours.digest), cost),
    }
    for name, path, peer_cost in peer_builds(bench, model, fp32, DRAWN, FEW_IMAGES):
        found[name] = (path, peer_cost)
    speeds = fresh_rates(
        {name: path for name, (path, _) in found.items()}, 1, bench.options.rounds, bench.threads
    )
    rows = []
    for name, (_, build_cost) in found.items():
        row: dict[str, Any] = {"model": model.name, "build": name}
        row["images/s"] = statistics.median(speeds[name])
        row["speed / fp32"] = speed_up(speeds, name, "fp32")
        rows.append(row | (build_cost.row() if build_cost is not None else {}))
        say(f"{rows[-1]}")
    return rows

"""Top-1 by halves: the evaluated images do not overlap with the calibration set of the build."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.quantization import say
from benchmarks.quantization_peers import peer_builds
from benchmarks.quantization_processes import BuildCost, fresh_rates, speed_up
from benchmarks.quantization_setup import HALVES, Bench, Model
from db.enums import Precision
from engine.common.stats import paired_difference
from engine.runtimes.observing import session_of
from engine.runtimes.onnxruntime import OnnxSession
from engine.store import artifacts
from engine.store.manifest import BuildDetails, BuildManifest


@dataclass(frozen=True, slots=True)
class Built:
    """A file, what its manifest says of the build (nothing for a peer's), and what it cost."""

    path: Path
    details: BuildDetails = field(default_factory=BuildDetails)
    cost: BuildCost | None = None


Files = dict[str, dict[int, Built]]


def accuracy_of(bench: Bench, model: Model) -> list[dict[str, Any]]:
    """One row per build: top-1 on all images, paired difference to fp32, size and speed."""
    files = workbench_builds(bench, model)
    fp32 = files["fp32"][0].path
    for half in HALVES:
        images = bench.options.calibration_images
        for name, path, cost in peer_builds(bench, model, fp32, f"half-{half}", images):
            files.setdefault(name, {})[half] = Built(path, cost=cost)
    files = {name: builds for name, builds in files.items() if len(builds) == len(HALVES)}
    speeds = fresh_rates(
        {name: builds[0].path for name, builds in files.items()},
        1,
        bench.options.rounds,
        bench.threads,
    )
    images = {half: _prepared(bench, model, half) for half in HALVES}
    reference: np.ndarray | None = None
    rows = []
    for name, build in files.items():
        correct = _right(bench, build, images)
        reference = correct if reference is None else reference
        row = _row(model, name, correct, reference, build[0], bench)
        row["constraint, by half"] = _constraints(build)
        row["images/s"] = statistics.median(speeds[name])
        row["speed / fp32"] = speed_up(speeds, name, "fp32")
        if (cost := build[0].cost) is not None:
            row |= cost.row()
        say(f"{row}")
        rows.append(row)
    return rows


def workbench_builds(bench: Bench, model: Model) -> Files:
    """File and build details, by name and by the half that is used for calibration."""
    files: Files = {}
    for name, precision, calibration in _cases(bench):
        files[name] = {}
        for half in HALVES:
            bench.halves  # noqa: B018 - registers them
            cost = None
            if precision == Precision.INT8:
                artifact, cost = bench.build_in_process(model, f"half-{half}", **calibration)
            else:
                artifact = bench.build(model, precision, f"half-{half}", **calibration)
            path = artifacts.model_path(artifact.digest)
            files[name][half] = Built(path, BuildManifest.from_artifact(artifact).build, cost)
    return files


def _cases(bench: Bench) -> Iterator[tuple[str, str, dict[str, Any]]]:
    options = bench.options
    yield "fp32", "fp32", {}
    if "fp16" in options.precisions:
        yield "fp16", "fp16", {}
    if "int8" not in options.precisions:
        return
    for mode in options.modes or ["mse"]:
        yield f"int8 {mode}", "int8", {"mode": mode}
    for target in options.targets:
        yield f"int8 mse for {target}", "int8", {"target": target}
    if options.bounded:
        yield f"int8 max drop {options.max_drop:g}", "int8", {"max_drop": options.max_drop}


def _prepared(bench: Bench, model: Model, half: int) -> tuple[list[np.ndarray], np.ndarray]:
    index = bench.halves[half]
    all_indices = np.arange(len(index))
    return list(bench.batches(model, f"half-{half}", all_indices)), index.labels


def _right(
    bench: Bench,
    build: dict[int, Built],
    images: dict[int, tuple[list[np.ndarray], np.ndarray]],
) -> np.ndarray:
    """(n,) booleans: correct images, each evaluated by the build of the other half."""
    found = []
    for half in HALVES:
        batches, labels = images[half]
        runtime = OnnxSession(build[1 - half].path, "CPUExecutionProvider", bench.threads)
        best = np.concatenate([runtime.run(batch).argmax(axis=1) for batch in batches])
        found.append(best == labels)
    return np.concatenate(found)


def _row(
    model: Model,
    name: str,
    correct: np.ndarray,
    reference: np.ndarray,
    build: Built,
    bench: Bench,
) -> dict[str, Any]:
    path = build.path
    change = paired_difference(reference, correct)
    int8 = build.details.quantization
    return {
        "model": model.name,
        "build": name,
        "correct": f"{int(correct.sum())} of {len(correct)}",
        "difference (pp)": f"{100 * change.difference:+.1f} ({100 * change.low:+.1f} to "
        f"{100 * change.high:+.1f})",
        "MB": path.stat().st_size / 1e6,
        "MACs in int8": int8.macs_in_int8 if int8 is not None else None,
        "in QLinearConv": None if name in ("fp32", "fp16") else integer_share(path, bench.folder),
    }


def _constraints(build: dict[int, Built]) -> str | None:
    """Whether the accuracy constraint is met, in each of the two searches."""
    quantizations = [built.details.quantization for built in build.values()]
    found = [quantization.bound for quantization in quantizations if quantization]
    return ", ".join("met" if b.held else "not shown" for b in found if b) or None


def integer_share(path: Path, folder: Path) -> str:
    """Number of integer convolutions in the optimized graph."""
    optimized = folder / "optimized.onnx"
    session_of(onnx.load(path), 1, optimized)
    ops = [node.op_type for node in onnx.load(optimized).graph.node]
    integer = sum(op == "QLinearConv" for op in ops)
    return f"{integer} of {integer + sum(op in ('Conv', 'FusedConv') for op in ops)}"

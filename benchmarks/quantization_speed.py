"""Speed-ups between files and runtimes, which alternate so that interference affects all alike."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quantization import say
from benchmarks.quantization_setup import Bench, Model
from engine.config import settings
from engine.datasets.registration import register
from engine.runtimes.onnxruntime import OnnxSession
from engine.store import artifacts

ONNX_RUNTIME, OPENVINO = "onnxruntime", "openvino"
TURN_S = 1.5
DRAWN, FEW_IMAGES = "drawn", 16
TARGETS = {("timm/seresnet50", 1): 2.4, ("timm/seresnet50", 8): 3.2}
OPENVINO_TARGET = 0.85
Run = Callable[[np.ndarray], Any]


def speeds_of(bench: Bench, model: Model) -> list[dict[str, Any]]:
    """One row per batch size: int8 vs fp32, ONNX Runtime vs OpenVINO with the same int8 file."""
    register_calibration_set(bench)
    paths = {
        precision: artifacts.model_path(bench.build(model, precision, DRAWN).digest)
        for precision in ("fp32", "int8")
    }
    rows = []
    for batch in bench.options.batches:
        runs = {(ONNX_RUNTIME, p): _load(ONNX_RUNTIME, path) for p, path in paths.items()}
        if importlib.util.find_spec(OPENVINO):
            runs |= {(OPENVINO, p): _load(OPENVINO, path) for p, path in paths.items()}
        rows.append(_row(model, batch, rates(runs, paths["fp32"], batch, bench.options.rounds)))
        say(f"{rows[-1]}")
    return rows


def _row(model: Model, batch: int, found: dict[Any, list[float]]) -> dict[str, Any]:
    def ratio(a: tuple[str, str], b: tuple[str, str]) -> float | None:
        if a not in found or b not in found:
            return None
        return statistics.median(x / y for x, y in zip(found[a], found[b], strict=True))

    speed_up = ratio((ONNX_RUNTIME, "int8"), (ONNX_RUNTIME, "fp32"))
    share = ratio((ONNX_RUNTIME, "int8"), (OPENVINO, "int8"))
    target = TARGETS.get((model.name, batch), 1.0)
    assert speed_up is not None
    return {
        "model": model.name,
        "batch": batch,
        "fp32 images/s": statistics.median(found[ONNX_RUNTIME, "fp32"]),
        "int8 images/s": statistics.median(found[ONNX_RUNTIME, "int8"]),
        "int8 / fp32": speed_up,
        "target": f"{target:g} {'met' if speed_up >= target else 'MISSED'}",
        "OpenVINO int8 / fp32": ratio((OPENVINO, "int8"), (OPENVINO, "fp32")),
        "ONNX Runtime / OpenVINO, same int8 file": share,
        "target 0.85": None if share is None else ("met" if share >= OPENVINO_TARGET else "MISSED"),
    }


def rates(runs: dict[Any, Run], model: Path, batch: int, rounds: int) -> dict[Any, list[float]]:
    """Images per second of each run, by round; all runs alternate in every round."""
    side = _side(model)
    inputs = np.random.default_rng(0).normal(size=(batch, 3, side, side)).astype(np.float32)
    found: dict[Any, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(inputs)
    for _ in range(rounds):
        for name, run in runs.items():
            done, started = 0, time.perf_counter()
            while time.perf_counter() - started < TURN_S:
                run(inputs)
                done += batch
            found[name].append(done / (time.perf_counter() - started))
    return found


def _load(runtime: str, path: Path) -> Run:
    if runtime == ONNX_RUNTIME:
        return OnnxSession(path, "CPUExecutionProvider", settings().threads).run
    import openvino

    hints = {"INFERENCE_NUM_THREADS": settings().threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", hints)
    request = compiled.create_infer_request()
    return lambda inputs: request.infer([inputs])


def _side(path: Path) -> int:
    import onnx

    model = onnx.load(path, load_external_data=False)
    return int(model.graph.input[0].type.tensor_type.shape.dim[2].dim_value)


def register_calibration_set(bench: Bench) -> None:
    """Registers calibration images; any images will do for random weights."""
    from engine.datasets.registration import check_images
    from engine.datasets.sampling import sample_calibration_images

    root = bench.options.images or bench.options.real_data / "imagenet_1000"
    layout = sample_calibration_images(root, count=FEW_IMAGES)
    register(DRAWN, check_images(root, layout, lambda done, total: None), bench.url)

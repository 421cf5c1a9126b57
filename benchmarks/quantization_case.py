"""One build or one speed, measured in a process of its own.

    python -m benchmarks.quantization_case '{"kind": "build", ...}'
    PEERS' PYTHON benchmarks/quantization_case.py '{"kind": "nncf", ...}'

Prints one JSON object as the last line. The peers' interpreter needs only the peer: nothing of the
workbench is imported for `static` and `nncf`. Their images are read before the clock starts; the
time of reading them is measured by the caller, for all tools alike.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

INPUT = "input"


@contextmanager
def clock(found: dict[str, Any]) -> Iterator[None]:
    """Adds elapsed seconds, processor seconds and the peak memory of this process to `found`."""
    started = time.perf_counter(), time.process_time()
    yield
    found["seconds"] = time.perf_counter() - started[0]
    found["processor_seconds"] = time.process_time() - started[1]
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def build(home: str, url: str, spec: dict[str, Any], workspace: str) -> dict[str, Any]:
    """An int8 build of the workbench, as the job makes it; `spec` is a BuildSpec."""
    from benchmarks.quantization_setup import StderrContext
    from engine.build import job

    context = StderrContext(url, None, 1, Path(workspace))  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    with clock(found):
        found["artifact"] = job.run(spec, context)["artifact"]
    return found


def static(model: str, images: str, output: str) -> dict[str, Any]:
    """onnxruntime.quantization.quantize_static: QDQ, u8 x s8, per-channel weights, MinMax."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    found: dict[str, Any] = {}
    calibration = np.load(images)
    with clock(found):
        quant_pre_process(model, f"{output}.prepared")
        quantize_static(
            f"{output}.prepared",
            output,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
        )
    return found


class _Reader:
    """Data reader for quantize_static: one image at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image, or None at the end."""
        image = next(self.images, None)
        return None if image is None else {INPUT: image[None]}


def nncf(model: str, images: str, output: str, accurate: bool) -> dict[str, Any]:
    """NNCF on the ONNX file, mixed preset; `accurate`: with sequential bias correction."""
    import nncf as peer
    import onnx

    found: dict[str, Any] = {}
    calibration = [{INPUT: image[None]} for image in np.load(images)]
    with clock(found):
        quantized = peer.quantize(
            onnx.load(model),
            peer.Dataset(calibration),
            preset=peer.QuantizationPreset.MIXED,
            subset_size=len(calibration),
            fast_bias_correction=not accurate,
        )
        onnx.save(quantized, output)
    return found


def rate(model: str, batch: int, threads: int, seconds: float) -> dict[str, Any]:
    """Images per second of a file in ONNX Runtime, after a warm-up of a quarter of the time."""
    import onnx

    from engine.runtimes.onnxruntime import OnnxSession

    shape = onnx.load(model, load_external_data=False).graph.input[0].type.tensor_type.shape
    side = int(shape.dim[2].dim_value)
    inputs = np.random.default_rng(0).normal(size=(batch, 3, side, side)).astype(np.float32)
    session = OnnxSession(Path(model), "CPUExecutionProvider", threads)
    done = 0.0
    for duration in (seconds / 4, seconds):
        images, started = 0, time.perf_counter()
        while time.perf_counter() - started < duration:
            session.run(inputs)
            images += batch
        done = images / (time.perf_counter() - started)
    return {"rate": done}


_KINDS = {"build": build, "static": static, "nncf": nncf, "rate": rate}


def main() -> None:
    """Measures the case given as JSON."""
    options = json.loads(sys.argv[1])
    print(json.dumps(_KINDS[options.pop("kind")](**options)))


if __name__ == "__main__":
    main()

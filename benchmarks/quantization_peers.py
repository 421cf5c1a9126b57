"""Other tools on the same model and the same calibration images."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.quantization import say
from benchmarks.quantization_setup import HALVES, Bench, Model
from engine.datasets.sampling import sample_by_class
from engine.onnx import graph_io
from engine.store.manifest import BuildDetails

Builds = dict[int, tuple[Path, BuildDetails]]


def peer_builds(bench: Bench, model: Model, fp32: Path) -> dict[str, Builds]:
    """Builds of other tools, by name and calibration half; a missing tool is reported."""
    found: dict[str, Builds] = {}
    for peer in bench.options.peers:
        if importlib.util.find_spec(peer) is None:
            say(f"{peer} is not installed and is skipped.")
            continue
        if peer in _PEERS:
            found |= _PEERS[peer](bench, model, fp32)
    return found


def _one_by_one(bench: Bench, model: Model, half: int) -> Iterator[np.ndarray]:
    labels = bench.halves[half].labels
    selected = sample_by_class(labels, bench.options.calibration_images, 0)
    for batch in bench.batches(model, half, selected):
        yield from (image[None] for image in batch)


def _static(bench: Bench, model: Model, fp32: Path) -> dict[str, Builds]:
    """onnxruntime.quantization.quantize_static: QDQ, u8 x s8, per-channel weights."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = bench.folder / "prepared.onnx"
    quant_pre_process(str(fp32), str(prepared))
    made: Builds = {}
    for half in HALVES:
        path = bench.folder / f"static-{model.name.replace('/', '-')}-{half}.onnx"
        quantize_static(
            str(prepared),
            str(path),
            _Reader(_one_by_one(bench, model, half)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
        )
        made[half] = (path, BuildDetails())
    return {"onnxruntime quantize_static, int8 max": made}


class _Reader:
    """Data reader for quantize_static: one image at a time (only MinMax needs little memory)."""

    def __init__(self, images: Iterator[np.ndarray]) -> None:
        self.images = images

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image, or None at the end."""
        image = next(self.images, None)
        return None if image is None else {graph_io.INPUT: image}


def _nncf(bench: Bench, model: Model, fp32: Path) -> dict[str, Builds]:
    """NNCF on the ONNX file, both presets, run in ONNX Runtime."""
    import nncf
    import onnx

    found: dict[str, Builds] = {}
    for preset in (nncf.QuantizationPreset.MIXED, nncf.QuantizationPreset.PERFORMANCE):
        made: Builds = {}
        for half in HALVES:
            images = [{graph_io.INPUT: x} for x in _one_by_one(bench, model, half)]
            quantized = nncf.quantize(
                onnx.load(fp32), nncf.Dataset(images), preset=preset, subset_size=len(images)
            )
            name = f"nncf-{preset.value}-{model.name.replace('/', '-')}-{half}.onnx"
            onnx.save(quantized, bench.folder / name)
            made[half] = (bench.folder / name, BuildDetails())
        found[f"NNCF {preset.value}, int8"] = made
    return found


_PEERS: dict[str, Callable[[Bench, Model, Path], dict[str, Builds]]] = {
    "onnxruntime": _static,
    "nncf": _nncf,
}

"""The static int8 build: QDQ, unsigned 8-bit activations, signed per-channel weights.

This is what ONNX Runtime's x86 kernels fuse into integer convolutions; activations in s8 were
slower than fp32 there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

from engine.artifacts import disk_space
from engine.quantize.calibrate import Ranges

RECIPE = {
    "format": "QDQ",
    "activations": "uint8",
    "weights": "int8 per channel",
    "ranges": "max",
}


def quantize(model: ModelProto, ranges: Ranges, target: Path) -> None:
    """Writes the int8 model to `target`, taking activation ranges from `ranges`."""
    cache = target.with_suffix(".ranges.json")
    data = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    with disk_space(target.parent):
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), cache)
        quantize_static(
            model,
            target,
            calibration_data_reader=None,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=cache,
        )
    cache.unlink()

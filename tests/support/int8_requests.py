"""A request for the default int8 build of a tiny model, without progress."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from engine.build.int8.mixed_precision import mixed_precision
from engine.build.int8.pipeline import Calibration
from tests.support.mobile import VNNI, batches


def calibration_settings() -> Calibration:
    return Calibration(lambda: batches(3), "mse", 99.999, 1, lambda stage, seen: None, 12)


def request_for(source: ModelProto, **more: Any) -> mixed_precision.MixedPrecisionRequest:
    """A request for the default build of `source`, without logging."""
    usual: dict[str, Any] = {
        "calibration": calibration_settings(),
        "target": VNNI,
        "required_float": frozenset(),
        "float_share": 0.1,
        "analysis_images": np.concatenate(batches(2)),
        "log": silent,
        "progress": silent,
    }
    return mixed_precision.MixedPrecisionRequest(source=source, **{**usual, **more})


def silent(*anything: object) -> None:
    """Ignores progress and log messages."""

"""The default int8 build of a tiny network as a request, without progress."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from engine.build.int8.mixed_precision import mixed_precision
from engine.build.int8.pipeline import Calibration
from tests.support.mobile import VNNI, batches


def how() -> Calibration:
    return Calibration(lambda: batches(3), "mse", 99.999, 1, lambda stage, seen: None, 12)


def request_for(source: ModelProto, **more: Any) -> mixed_precision.Request:
    """The default recipe of `source`, nobody watching."""
    usual: dict[str, Any] = {
        "how": how(),
        "target": VNNI,
        "forced": frozenset(),
        "float_share": 0.1,
        "images": np.concatenate(batches(2)),
        "say": silent,
        "progress": silent,
    }
    return mixed_precision.Request(source=source, **{**usual, **more})


def silent(*anything: object) -> None:
    """For progress that nobody watches."""

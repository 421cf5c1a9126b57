"""How a build is made: how int8 ranges are taken, what stays in float, a softmax at the end."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.errors import InvalidRequest
from engine.runs.requests import RunRequest
from engine.specs import PERCENTILE, CalibrationMode, TargetName


def build_options() -> dict[str, Any]:
    """Fields of a RunRequest. Raises InvalidRequest."""
    left, right = st.columns(2)
    mode = left.selectbox(
        "How int8 ranges are taken",
        [str(mode) for mode in CalibrationMode],
        index=list(CalibrationMode).index(CalibrationMode.MSE),
        key="calibration_mode",
        help="max keeps every value; the others leave rare large ones out. mse, which leaves out "
        "what costs less than finer steps bring, keeps most accuracy on SE networks.",
    )
    percentile = right.number_input(
        "Share of values kept (%), percentile only",
        min_value=50.001,
        max_value=100.0,
        value=PERCENTILE,
        step=0.001,
        format="%.4f",
        key="calibration_percentile",
    )
    kept = left.text_input(
        "Convolutions kept in float",
        key="keep_in_float",
        placeholder="none",
        help="Their numbers in graph order, from 0, such as 0, 4.",
    )
    softmax = right.toggle(
        "Append a softmax", key="softmax", help="So that the build gives probabilities."
    )
    drop = left.number_input(
        "Largest drop of top-1 from fp32 (points)",
        min_value=0.1,
        max_value=100.0,
        value=None,
        step=0.1,
        placeholder="no bound: the default recipe",
        key="max_drop",
        help="As few layers as needed go back to float, judged by the paired interval on images "
        "that ranges were not taken from.",
    )
    target = right.selectbox(
        "Int8 made for",
        [str(name) for name in TargetName],
        key="int8_target",
        help="auto: this machine's processor, or TensorRT where its provider is chosen. x86-vnni "
        "multiplies unsigned by signed bytes, x86 the same without VNNI, arm and "
        "tensorrt signed by signed; tensorrt has no zero points and keeps biases in float.",
    )
    return {
        "max_drop": drop,
        "target": str(target),
        "calibration_mode": str(mode),
        "calibration_percentile": float(percentile or PERCENTILE),
        "keep_in_float": numbers(kept or ""),
        "softmax": bool(softmax),
    }


def build_values(request: RunRequest) -> dict[str, Any]:
    """The widgets' values for a request, by their keys."""
    return {
        "max_drop": request.max_drop,
        "int8_target": str(request.target),
        "calibration_mode": str(request.calibration_mode),
        "calibration_percentile": request.calibration_percentile,
        "keep_in_float": ", ".join(str(number) for number in request.keep_in_float),
        "softmax": request.softmax,
    }


def numbers(text: str) -> tuple[int, ...]:
    """`0, 4` with commas or spaces. Raises InvalidRequest."""
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() for word in words):
        raise InvalidRequest(f"Convolutions are numbers from 0, such as 0, 4, not {text[:40]!r}.")
    return tuple(sorted({int(word) for word in words}))

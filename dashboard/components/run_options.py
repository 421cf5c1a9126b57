"""The finer options of a new run: limits, batches, threads, and how images are prepared."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.run_choices import BUILT_IN, ONNX
from engine.errors import InvalidRequest
from engine.preprocess import Color, Interpolation, PreprocessSpec, ResizeMode, Resizer
from engine.preprocess.protocols import VENDOR, Protocol
from engine.preprocess.spec import PIXEL_SCALE

BATCHES = (1, 2, 4, 8, 16, 32, 64)
PROVIDERS = ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")


def measuring_options(kind: str) -> dict[str, Any]:
    """Fields of a RunRequest."""
    left, right = st.columns(2)
    batches = left.pills(
        "Batch sizes to benchmark",
        BATCHES,
        selection_mode="multi",
        default=[1],
        key="batches",
        wrap=True,
    )
    limit = right.number_input(
        "Evaluate on at most so many images (0: all)", min_value=0, value=0, key="limit"
    )
    threads = left.number_input(
        "Threads (0: all cores)", min_value=0, max_value=1024, value=0, key="threads"
    )
    instances = right.number_input(
        "Requests in flight", min_value=1, max_value=256, value=1, key="instances"
    )
    seconds = left.number_input(
        "Longest benchmark (s)",
        min_value=1,
        max_value=3600,
        value=10 if kind == BUILT_IN else 30,
        key=f"max_s_{kind}",
    )
    provider = right.selectbox("Execution provider", PROVIDERS, key="provider")
    return {
        "batches": tuple(int(batch) for batch in batches),
        "limit": int(limit) if limit else None,
        "threads": int(threads or 0),
        "instances": int(instances or 1),
        "benchmark_max_s": float(seconds or 30),
        "provider": provider,
    }


def preparation_options(kind: str) -> dict[str, Any]:
    """`preprocess`, and the `background` of an ONNX file; the demo's images need nothing."""
    if kind == BUILT_IN:
        return {}
    if kind != ONNX:
        return _protocol_options()
    with st.expander("How images are prepared for this file", icon=":material/crop:"):
        st.caption(
            "A wrong guess costs accuracy. Left off: short side 256, centre crop 224, bilinear, "
            "ImageNet mean and deviation."
        )
        own = st.toggle("Set it", key="own_preprocessing")
        spec = _own_spec() if own else None
        first_is_background = st.toggle(
            "Background class: output 0 is no class",
            key="background",
            help="As in networks from TF-Hub and TF-Slim, which have 1,001 outputs.",
        )
    found: dict[str, Any] = {"background": 0} if first_is_background else {}
    return found | ({"preprocess": spec} if spec is not None else {})


def _protocol_options() -> dict[str, Any]:
    protocol = st.segmented_control(
        "How images are prepared",
        [str(one) for one in Protocol],
        default=str(Protocol.PUBLISHED),
        key="protocol",
        bind="query-params",
        help="published: as the model's figures were measured. vendor: squashed to 256 x 256, "
        "crop 224, OpenCV. Results of different protocols are never compared.",
    )
    if protocol == Protocol.VENDOR:
        return {"preprocess": VENDOR.to_dict()}
    return {"preprocess": _own_spec()} if protocol == Protocol.CUSTOM else {}


def _own_spec() -> dict[str, Any]:
    defaults = PreprocessSpec()
    left, right = st.columns(2)
    resize = left.number_input(
        "Resize to (0: not at all)", min_value=0, max_value=4096, value=256, key="pre_resize"
    )
    crop = right.number_input("Centre crop", min_value=1, max_value=4096, value=224, key="pre_crop")
    mode = left.selectbox("Resize", [str(mode) for mode in ResizeMode], key="pre_mode")
    interpolation = right.selectbox(
        "Interpolation", [str(one) for one in Interpolation], key="pre_interpolation"
    )
    resizer = left.selectbox("Resizer", [str(one) for one in Resizer], key="pre_resizer")
    color = right.selectbox("Channels", [str(one) for one in Color], key="pre_color")
    div255 = st.toggle(
        "Pixels are divided by 255 first",
        value=True,
        key="pre_div255",
        help="Off: mean and deviation are of pixels from 0 to 255.",
    )
    mean = left.text_input("Mean", value=_join(defaults.mean), key="pre_mean")
    std = right.text_input("Deviation", value=_join(defaults.std), key="pre_std")
    return {
        "resize": int(resize) if resize else None,
        "resize_mode": mode,
        "crop": int(crop or 224),
        "interpolation": interpolation,
        "resizer": resizer,
        "color": color,
        "scale": PIXEL_SCALE if div255 else 1.0,
        "mean": three_numbers("Mean", mean or ""),
        "std": three_numbers("Deviation", std or ""),
    }


def _join(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def three_numbers(name: str, text: str) -> list[float]:
    """`0.485 0.456 0.406`, with commas or spaces. Raises InvalidRequest."""
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != 3:
        raise InvalidRequest(f"{name} must be three numbers, one a channel, not {text!r}.")
    return values

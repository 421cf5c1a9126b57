"""The finer options of a new run: limits, batches, threads, and how images are prepared."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.run_form.choices import BUILT_IN, ONNX
from engine.errors import InvalidRequest
from engine.preprocess import Color, Interpolation, PreprocessSpec, ResizeMode, Resizer
from engine.preprocess.protocols import VENDOR, Protocol
from engine.preprocess.spec import PIXEL_SCALE
from engine.specs import Scenario

BATCHES = (1, 2, 4, 8, 16, 32, 64)
THREADS = (0, 1, 2, 4, 8, 16, 32)
INSTANCES = (1, 2, 4, 8, 16)
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
    threads = left.pills(
        "Threads of an instance (0: all cores)",
        THREADS,
        selection_mode="multi",
        default=[0],
        key="threads",
        wrap=True,
    )
    instances = right.pills(
        "Requests in flight",
        INSTANCES,
        selection_mode="multi",
        default=[1],
        key="instances",
        wrap=True,
        help="With several batch sizes, threads or requests in flight every combination is "
        "measured; Compare then names the best under a limit on the latency.",
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
        "threads": tuple(int(count) for count in threads),
        "instances": tuple(int(count) for count in instances),
        "benchmark_max_s": float(seconds or 30),
        "provider": provider,
        "again": st.toggle(
            "Measure again what a sweep has measured before",
            key="again",
            help="Off: a sweep that was stopped goes on where it was.",
        ),
        **_scenario_options(),
    }


def _scenario_options() -> dict[str, Any]:
    """How requests come; the limit and the rate belong to scenario server."""
    scenario = st.segmented_control(
        "Scenario",
        [str(one) for one in Scenario],
        default=str(Scenario.CLOSED_LOOP),
        required=True,
        key="scenario",
        help="closed-loop: each request follows the last. The others are MLPerf's: single-stream "
        "(p90 of one image at a time), offline (images/s of all at once), server (arrivals by "
        "chance and a limit on the p99). Results of different scenarios are never mixed.",
    )
    if scenario != Scenario.SERVER:
        return {"scenario": scenario}
    left, right = st.columns(2)
    limit = left.number_input(
        "Longest p99 (ms)", min_value=0.001, value=None, format="%g", key="limit_ms"
    )
    rate = right.number_input(
        "Requests a second (empty: search the highest)",
        min_value=0.001,
        value=None,
        format="%g",
        key="rate_per_s",
    )
    return {"scenario": scenario, "limit_ms": limit, "rate_per_s": rate}


def preparation_options(kind: str) -> dict[str, Any]:
    """`preprocess`, and the `background` of an ONNX file; the demo's images need nothing."""
    if kind == BUILT_IN:
        return {}
    if kind != ONNX:
        return _protocol_options()
    with st.expander("How images are prepared for this file", icon=":material/crop:"):
        st.caption(
            "A wrong guess costs accuracy. Left off: short side 256, center crop 224, bilinear, "
            "ImageNet mean and deviation."
        )
        own = st.toggle("Set it", key="own_preprocessing")
        spec = _own_spec() if own else None
        first_is_background = st.toggle(
            "Background class: output 0 is no class",
            key="background",
            help="As in networks from TF-Hub and TF-Slim, which have 1,001 outputs.",
        )
        output = st.text_input(
            "Output that holds the scores",
            key="onnx_output",
            placeholder="found by its number of classes",
            help="Only for a file with several outputs.",
        )
    found: dict[str, Any] = {"background": 0} if first_is_background else {}
    if output and output.strip():
        found["output"] = output.strip()
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
    crop = right.number_input("Center crop", min_value=1, max_value=4096, value=224, key="pre_crop")
    mode = left.selectbox("Resize", [str(mode) for mode in ResizeMode], key="pre_mode")
    interpolation = right.selectbox(
        "Interpolation", [str(one) for one in Interpolation], key="pre_interpolation"
    )
    resizer = left.selectbox("Resizer", [str(one) for one in Resizer], key="pre_resizer")
    color = right.selectbox("Channels", [str(one) for one in Color], key="pre_color")
    div255 = st.toggle(
        "Scale to [0, 1]",
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

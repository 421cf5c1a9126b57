"""Sessions of OpenVINO: a compiled model whose arithmetic is pinned, and read back.

The precision hint is bf16 by default on processors that have it, so that an fp32 model would run in
bf16 silently: the hint is always set. What ran is read from `runtimePrecision` of the compiled
model's own graph.
"""

from __future__ import annotations

import queue
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import openvino as ov

from engine.common.scores import as_scores
from engine.errors import ArtifactMissing, NotSupported, ProviderUnavailable
from engine.runtimes.base import LayerTime, LoadOptions, Request, Runs, Trace
from engine.runtimes.batches import in_batches
from engine.runtimes.timing import WARM_UP_RUNS, median_latency_ms, runs_within
from engine.specs import CPU_PROVIDER
from engine.specs.precisions import PRECISIONS, Precision, uses_bf16

HINTS: dict[str, str] = {name: "bf16" for name in PRECISIONS if uses_bf16(name)}
"""Arithmetic of what is not integer, by precision; f32 for all others."""

ARITHMETIC = {
    "f32": Precision.FP32,
    "f16": Precision.FP16,
    "bf16": Precision.BF16,
    "u8": Precision.INT8,
    "i8": Precision.INT8,
}
MOVEMENT = frozenset(
    {"Input", "Output", "Const", "Reorder", "Reshape", "Convert", "Transpose", "Concatenation",
     "Split", "StridedSlice", "Pad", "Broadcast", "Tile", "Gather", "ShapeOf", "FakeQuantize"}
)  # fmt: skip
"""Layers that compute nothing: they move, cut or convert values, and are not counted."""

UNCONVERTED = "No conversion rule found for operations:"
_DEVICE = "CPU"
_SETTINGS = {
    "streams": "NUM_STREAMS",
    "threads in all": "INFERENCE_NUM_THREADS",
    "float arithmetic": "INFERENCE_PRECISION_HINT",
}
_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoSession:
    """A compiled model with one infer request and one stream for each request in flight.

    `placement`: number of layers that compute, by device and arithmetic. `settings`: as the
    compiled model reports them.
    """

    copies = 1

    def __init__(self, path: Path, precision: str, options: LoadOptions) -> None:
        """Raises ProviderUnavailable where OpenVINO cannot compile the file, ArtifactMissing."""
        if not path.is_file():
            raise ArtifactMissing(f"There is no model file {path}.")
        self._model = _read(path, options.batch)
        streams = max(options.requests, options.callers)
        self._config = _config_of(precision, options.threads, streams)
        self._compiled = _compile(self._model, self._config, options.cache)
        self.placement: dict[str, int] | None = _placement_of(self._compiled)
        self.settings = _settings_of(self._compiled)
        self.batch = _only_batch(self._model)
        infer = [self._compiled.create_infer_request() for _ in range(streams)]
        requests: list[Request] = [partial(_scores, one, self.batch) for one in infer]
        self._unused = iter(requests)
        # An infer request that two threads share gives one of them the scores of the other.
        self._free: queue.SimpleQueue[Request] = queue.SimpleQueue()
        for request in requests:
            self._free.put(request)

    def request(self) -> Request:
        """The next unused infer request."""
        return next(self._unused)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores (n, classes) float32 of a float32 batch (n, 3, side, side), for any n."""
        request = self._free.get()
        try:
            return request(batch)
        finally:
            self._free.put(request)

    def profile(self, images: np.ndarray, seconds: float) -> Trace:
        """The time of every layer, by the counters of a second compiled model."""
        plain = self._compiled.create_infer_request()
        latency_ms = median_latency_ms(lambda: plain.infer([images]), seconds / 2)
        counted = _compile(self._model, {**self._config, "PERF_COUNT": True}, None)
        request = counted.create_infer_request()
        count = runs_within(seconds / 2, latency_ms)
        for _ in range(WARM_UP_RUNS):
            request.infer([images])
        before = _spent_ms(request, WARM_UP_RUNS)
        begun = time.perf_counter()
        for _ in range(count):
            request.infer([images])
        wall_ms = (time.perf_counter() - begun) * 1e3 / count
        after = _spent_ms(request, WARM_UP_RUNS + count)
        spent = {name: max(0.0, total - before.get(name, 0.0)) for name, total in after.items()}
        layers = _layer_times(counted, {name: total / count for name, total in spent.items()})
        return Trace(layers, count, wall_ms, latency_ms)

    def __enter__(self) -> Self:
        """The session."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Releases the requests and the compiled model."""
        self._unused = iter(())
        self._free = queue.SimpleQueue()
        del self._compiled


def products(model: bytes, x: np.ndarray, precision: str, options: LoadOptions) -> Runs:
    """Runs of a small model; raises NotSupported where no layer runs in the precision."""
    config = _config_of(precision, options.threads, options.requests)
    compiled = _compile(ov.Core().read_model(model), config, None)
    if not _placement_of(compiled).get(f"{CPU_PROVIDER} {precision}"):
        raise NotSupported(f"OpenVINO does not run this product in {precision}.")
    requests = [compiled.create_infer_request() for _ in range(options.requests)]
    return [partial(request.infer, [x]) for request in requests]


def reader_of(
    model: bytes, precision: str, threads: int
) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    """A function from the inputs of a small model, by name, to its outputs in their order."""
    try:
        read = ov.Core().read_model(model)
    except RuntimeError as error:
        raise ProviderUnavailable(_why(error)) from error
    compiled = _compile(read, _config_of(precision, threads, 1), None)
    request, count = compiled.create_infer_request(), len(compiled.outputs)

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = request.infer(feeds)
        return [found[position].copy() for position in range(count)]

    return run


def unconverted_operators(path: Path) -> list[str]:
    """Names of the operators of an ONNX file that OpenVINO does not have, such as `domain.Name`.

    Empty also where the file cannot be read for another reason.
    """
    try:
        ov.Core().read_model(path)
    except RuntimeError as error:
        _, found, rest = str(error).partition(UNCONVERTED)
        names = rest.partition("\n")[0].split(",") if found else []
        return [re.sub(r"-\d+$", "", name.strip()) for name in names]  # without the opset
    return []


def _config_of(precision: str, threads: int, streams: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": HINTS.get(precision, "f32"),
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads * streams,
        # Pinned threads of several processes would share the first cores.
        "ENABLE_CPU_PINNING": False,
    }


def _placement_of(compiled: ov.CompiledModel) -> dict[str, int]:
    """Number of layers that compute, by device and arithmetic."""
    counts = Counter(
        f"{CPU_PROVIDER} {arithmetic}"
        for arithmetic, movement in _layers_of(compiled).values()
        if not movement
    )
    return dict(counts)


def _read(path: Path, batch: int | None) -> ov.Model:
    try:
        model = ov.Core().read_model(path)
    except RuntimeError as error:
        raise ProviderUnavailable(_why(error)) from error
    shape = model.inputs[0].partial_shape
    if batch is not None and shape.rank.is_static and shape[0].is_dynamic:
        shape[0] = ov.Dimension(batch)
        model.reshape({0: shape})
    return model


def _compile(model: ov.Model, config: dict[str, Any], cache: Path | None) -> ov.CompiledModel:
    core = ov.Core()
    if cache is not None:
        core.set_property({"CACHE_DIR": str(cache)})
    try:
        return core.compile_model(model, _DEVICE, config)
    except RuntimeError as error:
        raise ProviderUnavailable(_why(error)) from error


def _why(error: RuntimeError) -> str:
    """OpenVINO's own reason in one sentence, without the lines that name its source files."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    named = [line.removeprefix("-- ") for line in told if line.startswith("-- ")]
    reason = " ".join(named or told[:2]) or "no reason given"
    return f"OpenVINO cannot run this model ({reason}): choose runtime onnxruntime."


def _only_batch(model: ov.Model) -> int | None:
    shape = model.inputs[0].partial_shape
    fixed = shape.rank.is_static and shape[0].is_static
    return int(shape[0].get_length()) if fixed else None


def _scores(request: ov.InferRequest, size: int | None, images: np.ndarray) -> np.ndarray:
    return in_batches(lambda part: as_scores(request.infer([part])[0].copy()), images, size)


def _settings_of(compiled: ov.CompiledModel) -> dict[str, str]:
    """The settings that the compiled model reports, and whether it came from a cache."""
    found = {label: compiled.get_property(name) for label, name in _SETTINGS.items()}
    texts = {label: _type_name(value) for label, value in found.items()}
    cached = bool(compiled.get_property("LOADED_FROM_CACHE"))
    return {**texts, "compiled model": "from cache" if cached else "compiled at loading"}


def _type_name(value: Any) -> str:
    if isinstance(value, ov.Type):
        name = value.get_type_name()
        return _TYPES.get(name, name)
    return str(value)


def _layers_of(compiled: ov.CompiledModel) -> dict[str, tuple[str, bool]]:
    """Arithmetic of each executed layer by name, and whether it only moves values."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        kind = facts["runtimePrecision"].astype(str)
        arithmetic = str(ARITHMETIC.get(kind, kind))
        movement = facts["layerType"].astype(str) in MOVEMENT
        found[node.get_friendly_name()] = (arithmetic, movement)
    return found


def _spent_ms(request: ov.InferRequest, runs: int) -> dict[str, float]:
    """Time of each executed layer in all `runs` so far: OpenVINO tells their mean, in us."""
    return {
        info.node_name: info.real_time.total_seconds() * 1e3 * runs
        for info in request.profiling_info
        if info.status == ov.ProfilingInfo.Status.EXECUTED
    }


def _layer_times(compiled: ov.CompiledModel, spent: dict[str, float]) -> tuple[LayerTime, ...]:
    """Executed layers in order; `spent`: ms of a run."""
    nodes = {n.get_friendly_name(): n for n in compiled.get_runtime_model().get_ordered_ops()}
    return tuple(_layer_time(name, nodes.get(name), ms) for name, ms in spent.items())


def _layer_time(name: str, node: Any, ms: float) -> LayerTime:
    if node is None:
        return LayerTime(name, "", ms, (), CPU_PROVIDER)
    facts = node.get_rt_info()
    precision = facts["runtimePrecision"].astype(str)
    shapes = tuple(
        tuple(d.get_length() if d.is_static else -1 for d in output.get_partial_shape())
        for output in node.outputs()
    )
    return LayerTime(
        name=name,
        op=facts["layerType"].astype(str),
        ms=ms,
        shapes=shapes,
        provider=f"{CPU_PROVIDER} {ARITHMETIC.get(precision, precision)}",
        originals=tuple(filter(None, facts["originalLayersNames"].astype(str).split(","))),
    )

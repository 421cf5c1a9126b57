"""Histograms of stored tensors over the calibration images, in constant memory.

The second pass of the modes that look at how values are distributed. The extremes are known from
the first, so the bins are fixed and counts simply add up. Of a large tensor a fixed sample of each
image is counted, taken inside the graph, so that neither time nor memory is spent on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import gcd, prod

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine import onnx_graph
from engine.quantize.graph import GraphView, view_of
from engine.quantize.modes import BINS, Histogram, Ranges
from engine.quantize.sessions import session_of
from engine.quantize.swish import SAMPLE, GateSample

LARGEST_SAMPLE = 32_768
IMAGES_AT_ONCE = 4


def histograms(
    model: ModelProto,
    ranges: Ranges,
    batches: Iterable[np.ndarray],
    threads: int,
    progress: Callable[[int], None],
    samples: dict[str, GateSample] | None = None,
    images: int = 1,
) -> dict[str, Histogram]:
    """Counts of the tensors in `ranges`, in BINS bins over -t to t, t the largest magnitude.

    `samples` are filled on the way, for about so many `images`.
    """
    names = list(ranges)
    view = view_of(model)
    session = session_of(_sampling(model, names), threads)
    largest = {name: max(abs(low), abs(high), 1e-12) for name, (low, high) in ranges.items()}
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    seen = 0
    for batch in batches:
        for start in range(0, len(batch), IMAGES_AT_ONCE):
            values = session.run(None, {onnx_graph.INPUT: batch[start : start + IMAGES_AT_ONCE]})
            for name, value in zip(names, values, strict=True):
                counts[name] += _count(value, largest[name])
                if samples and name in samples:
                    most = SAMPLE * len(value) // images
                    samples[name].add(value, _channels(name, view, value.shape[1]), most)
        seen += len(batch)
        progress(seen)
    return {name: Histogram(counts[name], largest[name], *ranges[name]) for name in names}


def _count(values: np.ndarray, largest: float) -> np.ndarray:
    """As numpy.histogram over (-largest, largest), which is slower: the last bin is closed."""
    places = (values.reshape(-1) + np.float32(largest)) * np.float32(BINS / (2 * largest))
    return np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)


def _sampling(model: ModelProto, names: list[str]) -> ModelProto:
    """The model with a sample of each tensor as its outputs."""
    view = view_of(model)
    sampled = ModelProto()
    sampled.CopyFrom(model)
    graph = sampled.graph
    del graph.output[:]
    for name in names:
        step = _step(name, view)
        output = f"sample/{name}"
        limits = {"starts": 0, "ends": np.iinfo(np.int64).max, "axes": 1, "steps": step}
        for word, value in limits.items():
            constant = numpy_helper.from_array(np.array([value], np.int64), f"{output}/{word}")
            graph.initializer.append(constant)
        graph.node.append(helper.make_node("Flatten", [name], [f"{output}/flat"], axis=1))
        inputs = [f"{output}/flat", *(f"{output}/{word}" for word in limits)]
        graph.node.append(helper.make_node("Slice", inputs, [output]))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return sampled


def _channels(name: str, view: GraphView, count: int) -> np.ndarray:
    """The channel of each value in the sample of an image."""
    sizes = [size or 1 for size in view.shapes[name][2:]]
    return np.asarray(np.arange(count) * _step(name, view) // prod(sizes))


def _step(name: str, view: GraphView) -> int:
    """Every so many values of an image; shares no factor with the shape, so all places count."""
    sizes = view.shapes.get(name, [])[1:]
    if not sizes or any(size is None for size in sizes):
        return 1
    total = prod(size for size in sizes if size is not None)
    step = -(-total // LARGEST_SAMPLE)
    while gcd(step, total) > 1:
        step += 1
    return step

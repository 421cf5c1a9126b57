"""Histograms of stored tensors over the calibration images, in constant memory.

The second pass of the modes that look at how values are distributed. The extremes are known from
the first, so the bins are fixed and counts simply add up. Of a large tensor a fixed sample of each
image is counted, taken inside the graph, so that neither time nor memory is spent on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import gcd, prod

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine.build.int8.statistics.hard_swish_ranges import SAMPLE, GateSample
from engine.build.int8.statistics.range_estimators import BINS, Histogram, Ranges
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView, view_of
from engine.runtimes.observing import session_of

LARGEST_SAMPLE = 32_768
"""Values of an image that are counted at most; fewer where there are many images."""
VALUES = 10_000_000
"""About so many are counted of a tensor in all: 50 lie beyond each end of the 99.999 percentile."""
LEAST_SAMPLE = 2_048
IMAGES_AT_ONCE = 4
WHOLE_IMAGES = 300
"""Up to so many, every tensor is counted on all images; of more, each is on half of them: getting
at the values of all tensors costs a seventh of an inference."""


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

    `images` is about how many there will be: it decides how much of each is counted, and how much
    goes into `samples`, which are filled on the way. Many images have to come in a random order.
    """
    view, names = view_of(model), list(ranges)
    halves = [names] if images <= WHOLE_IMAGES or len(names) < 2 else [names[::2], names[1::2]]
    counted = max(images // len(halves), 1)
    most = min(max(VALUES // counted, LEAST_SAMPLE), LARGEST_SAMPLE)
    steps = {name: _step(name, view, most) for name in names}
    asked = halves.pop(0)
    session = session_of(_sampling(model, steps, asked), threads)
    largest = {name: max(abs(low), abs(high), 1e-12) for name, (low, high) in ranges.items()}
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    seen = 0
    for batch in batches:
        if halves and seen >= counted:
            del session  # a session computes all its outputs; two would take the memory of two
            asked = halves.pop(0)
            session = session_of(_sampling(model, steps, asked), threads)
        for start in range(0, len(batch), IMAGES_AT_ONCE):
            values = session.run(None, {graph_io.INPUT: batch[start : start + IMAGES_AT_ONCE]})
            for name, value in zip(asked, values, strict=True):
                counts[name] += _count(value, largest[name])
                if samples and name in samples:
                    channels = _channels(view.shapes[name], steps[name], value.shape[1])
                    samples[name].add(value, channels, SAMPLE * len(value) // counted)
        seen += len(batch)
        progress(seen)
    return {name: Histogram(counts[name], largest[name], *ranges[name]) for name in names}


def _count(values: np.ndarray, largest: float) -> np.ndarray:
    """As numpy.histogram over (-largest, largest), which is slower: the last bin is closed."""
    places = (values.reshape(-1) + np.float32(largest)) * np.float32(BINS / (2 * largest))
    return np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)


def _sampling(model: ModelProto, steps: dict[str, int], names: Sequence[str]) -> ModelProto:
    """The model whose outputs are every so many values of an image, of each tensor in `names`."""
    sampled = ModelProto()
    sampled.CopyFrom(model)
    graph = sampled.graph
    del graph.output[:]
    for name in names:
        output = f"sample/{name}"
        limits = {"starts": 0, "ends": np.iinfo(np.int64).max, "axes": 1, "steps": steps[name]}
        for word, value in limits.items():
            constant = numpy_helper.from_array(np.array([value], np.int64), f"{output}/{word}")
            graph.initializer.append(constant)
        graph.node.append(helper.make_node("Flatten", [name], [f"{output}/flat"], axis=1))
        inputs = [f"{output}/flat", *(f"{output}/{word}" for word in limits)]
        graph.node.append(helper.make_node("Slice", inputs, [output]))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return sampled


def _channels(shape: list[int | None], step: int, count: int) -> np.ndarray:
    """The channel of each value in the sample of an image."""
    return np.asarray(np.arange(count) * step // prod(size or 1 for size in shape[2:]))


def _step(name: str, view: GraphView, most: int) -> int:
    """So that at most `most` values of an image are left.

    Shares no factor with the shape, so all places count.
    """
    sizes = view.shapes.get(name, [])[1:]
    if not sizes or any(size is None for size in sizes):
        return 1
    total = prod(size for size in sizes if size is not None)
    step = -(-total // most)
    while gcd(step, total) > 1:
        step += 1
    return step

"""Histograms of quantized tensors over the calibration images, in constant memory.

This is the second pass, for the calibration methods that need the distribution of values. Min and
max are known from the first pass, so the bins are fixed and the counts add up. Of a large tensor a
fixed sample per image is counted. The sample is taken inside the graph, so that the other values
cost neither time nor memory. A method that weighs all values needs few images; one that looks for
rare values needs all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import gcd, prod

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine.build.int8.statistics.hard_swish_ranges import MAX_SAMPLES, HardSwishSample
from engine.build.int8.statistics.range_estimators import BINS, Histogram, Ranges
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView, view_of
from engine.runtimes.observing import session_of

MAX_SAMPLE_PER_IMAGE = 32_768
"""Largest number of values counted per tensor and image; fewer where there are many images."""
TARGET_VALUES = 10_000_000
"""About this many values are counted per tensor: 50 lie beyond each end of percentile 99.999."""
MSE_IMAGES, MSE_VALUES = 64, 500_000
"""For a mean squared error, the first images and so many values per tensor are enough: rare values
beyond them still count by the min and max of all images."""
MIN_SAMPLE_PER_IMAGE = 2_048
IMAGES_AT_ONCE = 4
SPLIT_ABOVE_IMAGES = 300
"""With more images than this, half of the tensors are counted on each half of the images: reading
the values of all tensors costs a seventh of an inference."""


def collect_histograms(
    model: ModelProto,
    ranges: Ranges,
    batches: Iterable[np.ndarray],
    threads: int,
    progress: Callable[[int], None],
    samples: dict[str, HardSwishSample] | None = None,
    expected_images: int = 1,
    target_values: int = TARGET_VALUES,
) -> dict[str, Histogram]:
    """Histograms of the tensors in `ranges`: BINS bins from -t to t, t the largest magnitude.

    `expected_images` is the approximate number of images. It determines how many values per image
    are counted, about `target_values` in all, and how many are added to `samples`, which this pass
    fills. The images must be in random order.
    """
    view, names = view_of(model), list(ranges)
    subsets = (
        [names]
        if expected_images <= SPLIT_ABOVE_IMAGES or len(names) < 2
        else [names[::2], names[1::2]]
    )
    images_per_tensor = max(expected_images // len(subsets), 1)
    max_values = min(
        max(target_values // images_per_tensor, MIN_SAMPLE_PER_IMAGE), MAX_SAMPLE_PER_IMAGE
    )
    counter = _Counter(view, ranges, max_values, images_per_tensor, samples or {})
    observed = subsets.pop(0)
    session = session_of(_add_sampling(model, counter.strides, observed), threads, spinning=False)
    image_count = 0
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            if subsets and image_count >= images_per_tensor:
                del session  # frees its memory before the next session is created
                observed = subsets.pop(0)
                session = session_of(
                    _add_sampling(model, counter.strides, observed), threads, spinning=False
                )
            for start in range(0, len(batch), IMAGES_AT_ONCE):
                images = {graph_io.INPUT: batch[start : start + IMAGES_AT_ONCE]}
                list(pool.map(counter.add, observed, session.run(None, images)))
            image_count += len(batch)
            progress(image_count)
    return {name: counter.histogram(name) for name in names}


class _Counter:
    """Counts the sampled values of each tensor, and adds them to its sample, if it has one."""

    def __init__(
        self,
        view: GraphView,
        ranges: Ranges,
        max_values: int,
        images_per_tensor: int,
        samples: dict[str, HardSwishSample],
    ) -> None:
        self._view, self._ranges, self._samples = view, ranges, samples
        self._images_per_tensor = images_per_tensor
        self.strides = {name: _stride(name, view, max_values) for name in ranges}
        self._largest = {
            name: max(abs(low), abs(high), 1e-12) for name, (low, high) in ranges.items()
        }
        self._counts = {name: np.zeros(BINS, np.int64) for name in ranges}

    def add(self, name: str, values: np.ndarray) -> None:
        """Adds the values of one tensor, (images, values); tensors may be added side by side."""
        self._counts[name] += _bin_counts(values, self._largest[name])
        if name in self._samples:
            channels = _sample_channels(
                self._view.shapes[name], self.strides[name], values.shape[1]
            )
            self._samples[name].add(
                values, channels, MAX_SAMPLES * len(values) // self._images_per_tensor
            )

    def histogram(self, name: str) -> Histogram:
        """The histogram of one tensor."""
        return Histogram(self._counts[name], self._largest[name], *self._ranges[name])


def _bin_counts(values: np.ndarray, largest: float) -> np.ndarray:
    """Like numpy.histogram over (-largest, largest), but faster; the last bin is closed."""
    bins = values.reshape(-1) + np.float32(largest)
    bins *= np.float32(BINS / (2 * largest))
    np.clip(bins, 0, BINS - 1, out=bins)
    return np.bincount(bins.astype(np.int64), minlength=BINS)


def first_images(batches: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The first `count` images of some batches, in batches; no further batch is read."""
    left = count
    for batch in batches:
        yield batch[:left]
        left -= len(batch)
        if left <= 0:
            return


def _add_sampling(model: ModelProto, strides: dict[str, int], names: Sequence[str]) -> ModelProto:
    """Copies the model; its outputs are every `strides[name]`-th value per image of `names`."""
    sampling_model = ModelProto()
    sampling_model.CopyFrom(model)
    graph = sampling_model.graph
    del graph.output[:]
    for name in names:
        output = f"sample/{name}"
        limits = {"starts": 0, "ends": np.iinfo(np.int64).max, "axes": 1, "steps": strides[name]}
        for input_name, value in limits.items():
            constant = numpy_helper.from_array(
                np.array([value], np.int64), f"{output}/{input_name}"
            )
            graph.initializer.append(constant)
        graph.node.append(helper.make_node("Flatten", [name], [f"{output}/flat"], axis=1))
        inputs = [f"{output}/flat", *(f"{output}/{input_name}" for input_name in limits)]
        graph.node.append(helper.make_node("Slice", inputs, [output]))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return sampling_model


def _sample_channels(shape: list[int | None], stride: int, count: int) -> np.ndarray:
    """The channel of each value in the sample of one image."""
    return np.asarray(np.arange(count) * stride // prod(size or 1 for size in shape[2:]))


def _stride(name: str, view: GraphView, max_values: int) -> int:
    """The smallest stride that leaves at most `max_values` values per image.

    It has no common factor with the number of values, so that all positions are sampled.
    """
    sizes = view.shapes.get(name, [])[1:]
    if not sizes or any(size is None for size in sizes):
        return 1
    total = prod(size for size in sizes if size is not None)
    stride = -(-total // max_values)
    while gcd(stride, total) > 1:
        stride += 1
    return stride

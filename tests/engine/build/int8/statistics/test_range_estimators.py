"""The four calibration methods against ONNX Runtime's calibrators and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector

from engine.build.int8.statistics.histograms import collect_histograms
from engine.build.int8.statistics.range_estimators import (
    BINS,
    kl_range,
    max_range,
    mse_range,
    percentile_range,
)
from tests.support.histograms import histogram_of, tailed
from tests.support.tiny import SIDE, tiny_se_model


def test_max_keeps_all_values() -> None:
    values = tailed()
    assert max_range(histogram_of(values), 99.0) == (values.min(), values.max())


@pytest.mark.parametrize("percentile", [99.0, 99.9, 99.99, 100.0])
def test_percentile_equals_onnx_runtime(percentile: float) -> None:
    values = tailed()
    theirs = HistogramCollector(
        method="percentile",
        symmetric=False,
        num_bins=BINS,
        num_quantized_bins=BINS,
        percentile=percentile,
        scenario="same",
    )
    theirs.collect({"t": [values]})
    low, high = (float(np.asarray(v)) for v in theirs.compute_percentile()["t"][:2])
    assert percentile_range(histogram_of(values), percentile) == pytest.approx((low, high))


def test_mse_is_not_worse_than_any_symmetric_clipping() -> None:
    values = tailed()

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        rounded = low + np.round((np.clip(values, low, high) - low) / step) * step
        return float(((rounded - values) ** 2).mean())

    low, high = mse_range(histogram_of(values), 99.0)
    assert values.min() <= low < 0 < high <= values.max()
    for share in np.linspace(0.2, 1, 17):
        assert error(low, high) <= error(values.min() * share, values.max() * share) * 1.02


def test_kl_clips_a_sparse_tail_and_keeps_a_uniform_distribution() -> None:
    low, high = kl_range(histogram_of(tailed()), 99.0)
    assert 2 < high < 15
    assert low >= -9.0
    even = np.random.default_rng(0).uniform(-1, 1, 400_000)
    assert kl_range(histogram_of(even), 99.0)[1] > 0.9


def test_histograms_equal_numpy_and_do_not_depend_on_batches() -> None:
    random = np.random.default_rng(3)
    images = random.normal(0, 1, (10, 3, SIDE, SIDE)).astype(np.float32)
    low, high = float(images.min()), float(images.max())
    for given in ([images], [images[:3], images[3:]]):
        seen: list[int] = []
        made = collect_histograms(tiny_se_model(), {"input": (low, high)}, given, 1, seen.append)
        assert seen[-1] == 10
        largest = max(-low, high)
        expected, _ = np.histogram(images, BINS, (-largest, largest))
        assert made["input"].counts.sum() == images.size
        assert np.abs(np.cumsum(made["input"].counts) - np.cumsum(expected)).max() <= 5


def test_a_large_tensor_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.build.int8.statistics.histograms.MAX_SAMPLE_PER_IMAGE", 100)
    images = np.random.default_rng(3).normal(0, 1, (40, 3, SIDE, SIDE)).astype(np.float32)
    ranges = {"input": (float(images.min()), float(images.max()))}
    made = collect_histograms(tiny_se_model(), ranges, [images], 1, lambda n: None)["input"]
    assert 40 * 60 < made.counts.sum() <= 40 * 100
    centers = (made.edges[:-1] + made.edges[1:]) / 2
    assert abs((made.counts * centers).sum() / made.counts.sum()) < 0.1

"""Statistics and ranges against ONNX Runtime's calibrators and numpy, over the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    EntropyCalibrater,
    MinMaxCalibrater,
    PercentileCalibrater,
)

from engine.build.int8.passes.hard_swish import split_hard_swish
from engine.build.int8.passes.squeeze import squeeze_to_global_pool
from engine.build.int8.pipeline import PreparedModel, prepare
from engine.build.int8.statistics.channel_statistics import (
    SampleScores,
    collect_channel_statistics,
)
from engine.build.int8.statistics.observers import add_observers, observed_tensors
from engine.build.int8.statistics.range_estimators import BINS, kl_range, mse_range
from engine.errors import BuildFailed
from engine.onnx.graph_view import view_of
from engine.runtimes.observing import session_of
from tests.support.histograms import histogram_of, tailed
from tests.support.mobile import batches, calibration, mobile_model
from tests.support.tiny import SIDE, tiny_se_model

MODELS = pytest.mark.parametrize("made", [tiny_se_model, mobile_model])
Made = Callable[[], ModelProto]


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """The same images for ONNX Runtime's calibrators."""

    def __init__(self) -> None:
        self.left = iter(batches())

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.left, None)
        return None if batch is None else {"input": batch}


def theirs(
    kind: type, prepared: PreparedModel, folder: Path, **options: object
) -> dict[str, tuple[float, float]]:
    """Ranges that a calibrator of ONNX Runtime estimates on the prepared float graph."""
    path = folder / "float.onnx"
    onnx.save(prepared.model, path)
    calibrator = kind(path, augmented_model_path=str(folder / "augmented.onnx"), **options)
    calibrator.augment_graph()
    calibrator.create_inference_session()
    calibrator.collect_data(Reader())
    found = calibrator.compute_data()
    return {
        name: tuple(float(np.asarray(end).reshape(-1)[0]) for end in found[name].range_value)
        for name in prepared.placement.quantized
    }


def as_stored(ends: tuple[float, float]) -> tuple[float, float]:
    """Widens a range to contain 0, as quantization does."""
    return min(ends[0], 0.0), max(ends[1], 0.0)


def silent(seen: int) -> None:
    """Ignores progress."""


def values_of(
    model: ModelProto, names: list[str], images: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """All values of these tensors over all images."""
    given = np.concatenate(batches()) if images is None else images
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    for name in names:
        shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    found = session_of(shown, 1).run(None, {"input": given})
    return dict(zip(names, found, strict=True))


@MODELS
def test_max_equals_onnx_runtime(made: Made, tmp_path: Path) -> None:
    """The range of each quantized tensor, widened to contain 0, up to float32 rounding.

    Ours are of the graph before equalization, with its factors; theirs are seen after it.
    """
    prepared = prepare(made(), calibration("max"))
    expected = theirs(MinMaxCalibrater, prepared, tmp_path)
    assert len(expected) > 5
    for name, ends in expected.items():
        ours, expected_range = as_stored(prepared.ranges[name]), as_stored(ends)
        assert ours == pytest.approx(expected_range, rel=1e-4, abs=1e-5), name


@MODELS
@pytest.mark.parametrize("percentile", [99.0, 99.9])
def test_percentile_equals_onnx_runtime(made: Made, percentile: float, tmp_path: Path) -> None:
    """Equal to one of 2,048 bins for maps; vectors keep their min and max, by design.

    One number of a vector stands for a whole map, and there are few: their tails are not cut.
    """
    prepared = prepare(made(), replace(calibration("percentile"), percentile=percentile))
    options = {"num_bins": BINS, "percentile": percentile, "symmetric": False}
    expected = theirs(PercentileCalibrater, prepared, tmp_path, **options)
    extremes = prepare(made(), calibration("max")).ranges
    cut = 0
    for name, ends in expected.items():
        if prepared.placement.view.is_vector(name):
            assert prepared.ranges[name] == pytest.approx(extremes[name])
            continue
        bin_width = 2 * max(np.abs(extremes[name])) / BINS
        ours, expected_range = as_stored(prepared.ranges[name]), as_stored(ends)
        assert ours == pytest.approx(expected_range, abs=1.01 * bin_width + 1e-6), name
        cut += ours != pytest.approx(as_stored(extremes[name]), rel=1e-3)
    assert cut, "something was cut, or the test says nothing"


def test_entropy_of_onnx_runtime_clips_nothing(tmp_path: Path) -> None:
    """ONNX Runtime's EntropyCalibrater has 128 bins for 128 levels: only one threshold to choose.

    So it is `max`, made symmetric where the two ends allow; there is nothing in it to equal.
    """
    prepared = prepare(tiny_se_model(), calibration("max"))
    expected = theirs(EntropyCalibrater, prepared, tmp_path)
    for name, ends in expected.items():
        assert as_stored(ends) == pytest.approx(as_stored(prepared.ranges[name]), rel=0.02), name


def test_kl_equals_the_published_procedure() -> None:
    """Migacz (GTC 2017), slide 38, with plain loops over the magnitudes' bins, every 8th threshold.

    ONNX Runtime's, with more bins than levels, is another procedure: it smooths both distributions
    and merges bins of both signs into a whole number each, and cuts elsewhere (5.8 here, not 4.2).
    """
    histogram = histogram_of(tailed())
    half = BINS // 2
    bins = [int(c) for c in histogram.counts[half:] + histogram.counts[:half][::-1]]
    bins[0] = bins[1]
    divergences = {}
    for kept in range(128, half + 1, 8):
        reference = [float(b) for b in bins[:kept]]
        reference[-1] += sum(bins[kept:])
        quantized = [0.0] * kept
        for level in range(128):
            members = [i for i in range(kept) if i * 128 // kept == level]
            filled = [i for i in members if bins[i]]
            for i in filled:
                quantized[i] = sum(bins[j] for j in members) / len(filled)
        p_sum, q_sum = sum(reference), sum(quantized)
        divergences[kept] = sum(
            p / p_sum * np.log((p / p_sum) / max(q / q_sum, 1e-12))
            for p, q in zip(reference, quantized, strict=True)
            if p
        )
    least = min(divergences.values())
    best = max(kept for kept, value in divergences.items() if value == pytest.approx(least))
    assert kl_range(histogram, 0)[1] == pytest.approx(histogram.max_magnitude * best / half)


def test_zeros_after_a_relu_do_not_change_the_kl_range() -> None:
    """Any scale represents zeros exactly; if counted, they would outweigh all other values."""
    random = np.random.default_rng(4)
    positive = np.abs(random.normal(0, 1, 50_000))
    zeros = np.zeros(400_000)
    alone = kl_range(histogram_of(positive), 0)[1]
    among = kl_range(histogram_of(np.concatenate([positive, zeros])), 0)[1]
    assert among == pytest.approx(alone, rel=0.05)
    assert among > 2


@pytest.mark.parametrize("shift", [0.0, 2.0, -3.0])
def test_mse_equals_an_exhaustive_search(shift: float) -> None:
    """Over all pairs of ends on a grid of 40 x 40, with the values themselves quantized."""
    values = tailed(10_000) + shift
    low, high = mse_range(histogram_of(values), 0)

    def error(a: float, b: float) -> float:
        step = max((b - a) / 255, 1e-12)
        rounded = a + np.round((np.clip(values, a, b) - a) / step) * step
        return float(((rounded - values) ** 2).mean())

    best = min(
        error(a, b)
        for a in np.linspace(min(values.min(), 0), -1e-3, 40)
        for b in np.linspace(1e-3, max(values.max(), 0), 40)
    )
    assert error(low, high) <= 1.03 * best


@MODELS
def test_statistics_equal_numpy(made: Made) -> None:
    """Statistics that are observed by pooling, and those computed from a gate."""
    model = made()
    squeeze_to_global_pool(model)
    split_hard_swish(model)
    names = observed_tensors(model, view_of(model))
    stats = collect_channel_statistics(model, names, batches(), 1, lambda seen: None)
    assert list(stats) == names
    assert add_observers(model, names).gated_maps, "a map scaled by an SE gate is worked out"
    relus = {n.output[0] for n in model.graph.node if n.op_type in ("Relu", "HardSigmoid")}
    for name, value in values_of(model, names).items():
        axes = (0, *range(2, value.ndim))
        ours = stats[name]
        low = value.min(axis=axes)
        if name in relus and not view_of(model).is_vector(name):
            assert (ours.low == 0).all()
        else:
            assert np.allclose(ours.low, low, rtol=1e-5, atol=1e-6), name
        assert np.allclose(ours.high, value.max(axis=axes), rtol=1e-5, atol=1e-6), name
        assert np.allclose(ours.mean, value.mean(axis=axes), rtol=1e-4, atol=1e-5), name
        square = (value.astype(np.float64) ** 2).mean(axis=axes)
        assert np.allclose(ours.square, square, rtol=1e-4, atol=1e-6), name


@MODELS
def test_the_pass_keeps_the_scores_of_the_first_images(made: Made) -> None:
    """The same as those of a pass of their own, and without the memory of the session."""
    model, count = made(), 5
    names = observed_tensors(model, view_of(model))
    alone = collect_channel_statistics(model, names, batches(), 1, lambda seen: None)
    kept = SampleScores(count)
    assert kept.all() is None
    found = collect_channel_statistics(model, names, batches(), 1, lambda seen: None, kept)
    assert all(np.array_equal(found[name].high, alone[name].high) for name in names)
    images = np.concatenate(list(batches()))[:count]
    expected = session_of(model, 1).run(None, {"input": images})[0]
    scores = kept.all()
    assert scores is not None
    assert np.allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert scores.base is None
    more = SampleScores(10**6)
    collect_channel_statistics(model, names, batches(), 1, lambda seen: None, more)
    assert more.missing
    assert more.all() is None


def test_the_variance_of_many_images_is_taken_from_a_part_of_them() -> None:
    images = np.random.default_rng(0).normal(5, 1, (600, 3, SIDE, SIDE)).astype(np.float32)
    names = ["input", "c", "m"]
    values = values_of(tiny_se_model(), names, images)
    found = collect_channel_statistics(
        tiny_se_model(), names, [images[:200], images[200:]], 1, silent
    )
    for name, value in values.items():
        axes, ours = (0, 2, 3), found[name]
        assert np.allclose(ours.mean, value.mean(axis=axes), rtol=1e-4), name
        assert np.allclose(ours.low, value.min(axis=axes), rtol=1e-5, atol=1e-6), name
        assert np.allclose(ours.high, value.max(axis=axes), rtol=1e-5, atol=1e-6), name
        assert np.allclose(ours.variance, value.var(axis=axes), rtol=0.05), name
        assert (ours.variance != value.var(axis=axes)).any(), "a part of them"


def test_the_input_of_a_relu_is_not_observed() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w"], ["c"]),
            helper.make_node("Add", ["c", "c"], ["a"]),
            helper.make_node("Relu", ["a"], ["r"]),
            helper.make_node("Conv", ["r", "v"], ["scores"]),
        ],
        "skip",
        [helper.make_tensor_value_info("input", 1, [None, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", 1, [None, 2, 8, 8])],
        [
            numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w"),
            numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "v"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert observed_tensors(model, view_of(model)) == ["input", "c", "r", "scores"]


def test_a_layer_that_overflows_is_named() -> None:
    model = tiny_se_model()
    weights = next(t for t in model.graph.initializer if t.name == "w")
    weights.CopyFrom(numpy_helper.from_array(np.full((8, 3, 3, 3), 3e38, np.float32), "w"))
    with pytest.raises(BuildFailed, match=r"Tensor 'c' of layer 'w' .*not finite"):
        prepare(model, calibration())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    images = batches(1)[0]
    images[2, 1, 3, 3] = bad
    with pytest.raises(BuildFailed, match=r"Tensor 'input' .*not finite"):
        prepare(tiny_se_model(), calibration(images=[images]))


def test_a_layer_with_constant_output_is_named() -> None:
    model = tiny_se_model()
    weights = next(t for t in model.graph.initializer if t.name == "w1")
    weights.CopyFrom(numpy_helper.from_array(np.zeros((4, 8, 1, 1), np.float32), "w1"))
    constant = prepare(model, calibration()).facts.constant
    assert "w1" in constant
    assert "w" not in constant
    assert prepare(tiny_se_model(), calibration()).facts.constant == []

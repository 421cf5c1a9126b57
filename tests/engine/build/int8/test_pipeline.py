"""The int8 pipeline: exact rewrites and equalization, fused integer kernels, high SQNR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from engine.build.int8.equalization.cross_layer import equalize
from engine.build.int8.passes.hard_swish import hard_gates_to_convolutions, split_hard_swish
from engine.build.int8.passes.squeeze import squeeze_to_global_pool
from engine.build.int8.pipeline import PreparedModel, prepare, quantize
from engine.build.int8.qdq.placement import place_quantizers
from engine.build.int8.qdq.qparams import compute_qparams
from engine.build.int8.statistics.channel_statistics import collect_channel_statistics
from engine.build.int8.targets import get_target
from engine.errors import BuildFailed
from engine.onnx.graph_view import view_of
from engine.specs import TargetName
from tests.support.mobile import VNNI, batches, calibration, fused, mobile_model, scores, sqnr_db
from tests.support.tiny import SIDE, tiny_se_model


def prepared_like(model: ModelProto, mode: str = "max") -> PreparedModel:
    return prepare(model, calibration(mode))


@pytest.mark.parametrize("made", [tiny_se_model, mobile_model])
def test_the_prepared_model_computes_the_same_as_its_source(made: object) -> None:
    model = made()  # type: ignore[operator]
    batch = batches(1)[0]
    before = scores(model, batch)
    ready = prepared_like(model)
    onnx.checker.check_model(ready.model, full_check=True)
    assert np.allclose(before, scores(ready.model, batch), rtol=1e-4, atol=1e-4)
    assert any(strength > 0 for strength in ready.facts.equalization.values())


def test_equalization_makes_channel_ranges_similar() -> None:
    model = mobile_model()
    squeeze_to_global_pool(model)
    split_hard_swish(model)
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
    shapes = view_of(model).shapes
    ranks = {name: len(shape) for name, shape in shapes.items()}

    def spread(name: str) -> float:
        highs = collect_channel_statistics(model, ranks, batches(), 1, lambda n: None)[name].high
        return float(highs.max() / highs.min())

    before = spread("h")
    stats = collect_channel_statistics(model, ranks, batches(), 1, lambda n: None)
    predicted = equalize(model, stats).statistics
    assert spread("h") < before / 10
    seen = collect_channel_statistics(model, ranks, batches(), 1, lambda n: None)
    for name in ("c", "h", "d", "e", "m", "p", "a"):
        for field in ("low", "high", "mean", "square"):
            ours, theirs = getattr(predicted[name], field), getattr(seen[name], field)
            assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * abs(theirs).max()), name


def test_equalization_raises_the_sqnr() -> None:
    model = mobile_model()
    batch = np.concatenate(batches())
    exact = scores(model, batch)
    rounded, _ = quantize(prepared_like(model), VNNI)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.build.int8.equalization.cross_layer.STRENGTHS", (0.0,))
        plain, _ = quantize(prepared_like(model), VNNI)
    ours, theirs = sqnr_db(exact, scores(rounded, batch)), sqnr_db(exact, scores(plain, batch))
    assert ours > 20
    assert ours > theirs + 6


@pytest.mark.parametrize("mode", ["max", "percentile", "kl_divergence", "mse"])
def test_every_calibration_method_gives_a_usable_build(mode: str) -> None:
    batch = np.concatenate(batches())
    exact = scores(tiny_se_model(), batch)
    rounded, _ = quantize(prepared_like(tiny_se_model(), mode), VNNI)
    onnx.checker.check_model(rounded)
    assert sqnr_db(exact, scores(rounded, batch)) > 15


def test_the_main_path_of_an_se_network_stays_in_integers(tmp_path: Path) -> None:
    rounded, _ = quantize(prepared_like(tiny_se_model()), VNNI)
    ops = fused(rounded, tmp_path)
    assert ops["QLinearConv"] == 3, "its own and the two of the SE branch"
    assert ops["QLinearGlobalAveragePool"] == 2 - ops["ReduceMean"]
    assert ops["QLinearMul"] == 1
    # in: the image and the gate; out: the SE branch, and the head's mean that drops dimensions
    assert ops["QuantizeLinear"] <= 3
    assert ops["DequantizeLinear"] <= 2


def test_hard_swish_becomes_integer_kernels(tmp_path: Path) -> None:
    rounded, facts = quantize(prepared_like(mobile_model()), VNNI)
    ops = fused(rounded, tmp_path)
    assert facts.gates_rewritten == 2
    assert ops["QLinearConv"] == 8, "six convolutions and two gates"
    assert ops["QLinearMul"] == 3, "two gates and the SE branch"
    assert ops["QLinearAdd"] == 1
    assert ops["Clip"] == 0
    assert ops["HardSigmoid"] + ops["FusedConv"] >= 1, "the gate of the SE branch is in float"


def test_the_gate_as_a_convolution_is_exact() -> None:
    model = mobile_model()
    split_hard_swish(model)
    batch = batches(1)[0]
    before = scores(model, batch)
    assert hard_gates_to_convolutions(model) == 2
    assert np.allclose(before, scores(model, batch), rtol=1e-5, atol=1e-5)


def test_excluded_layers_stay_in_float_with_their_activation() -> None:
    placement = place_quantizers(tiny_se_model(), frozenset({"c"}))
    assert "by request" in placement.float_nodes["c"]
    assert "by request" in placement.float_nodes["r"], "its Relu goes with it"
    assert "c" not in placement.quantized


def test_weights_are_bounded_in_pairs_where_sums_could_overflow() -> None:
    ready = prepared_like(tiny_se_model())
    wide, facts = quantize(ready, VNNI)
    narrow, narrow_facts = quantize(ready, get_target(TargetName.X86))
    assert largest_pair(wide) > 128 >= largest_pair(narrow)
    assert facts.weights != narrow_facts.weights


def largest_pair(model: ModelProto) -> int:
    """Sums of neighboring stored weights whose products are added in pairs."""
    found = 0
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor).astype(int)
        if tensor.name.endswith("/w/stored") and weights.shape[1] > 1:
            rows = np.moveaxis(weights, 1, -1).reshape(len(weights), -1)
            end = rows.shape[1] // 2 * 2
            found = max(found, np.abs(rows[:, 0:end:2] + rows[:, 1:end:2]).max())
    return found


def test_a_tensor_that_is_not_finite_is_named() -> None:
    poisoned = batches(1)[0]
    poisoned[0, 0, 0, 0] = np.inf
    with pytest.raises(BuildFailed, match=r"Tensor 'input' .*not finite"):
        prepare(tiny_se_model(), calibration(images=[poisoned]))


def test_no_image_is_an_error() -> None:
    with pytest.raises(BuildFailed, match="at least one image"):
        prepare(tiny_se_model(), calibration(images=[]))


def test_constant_images_still_give_a_build() -> None:
    flat = [np.zeros((2, 3, SIDE, SIDE), np.float32)]
    rounded, _ = quantize(prepare(tiny_se_model(), calibration(images=flat)), VNNI)
    assert np.isfinite(scores(rounded, flat[0])).all()


def test_statistics_do_not_depend_on_how_images_are_batched() -> None:
    images = np.concatenate(batches())
    single = [images[i : i + 1] for i in range(12)]
    single_images, at_once = (
        collect_channel_statistics(tiny_se_model(), {"r": 4, "s": 4}, given, 1, lambda n: None)
        for given in (single, [images])
    )
    for name, known in at_once.items():
        for field in ("low", "high", "mean", "square"):
            ours = getattr(single_images[name], field)
            assert np.allclose(ours, getattr(known, field), rtol=1e-5), (name, field)


def test_the_squeeze_becomes_a_pool_with_equal_scores() -> None:
    model = tiny_se_model()
    batch = batches(1)[0]
    before = scores(model, batch)
    assert squeeze_to_global_pool(model) == 1, "the head's mean drops its dimensions and stays"
    onnx.checker.check_model(model, full_check=True)
    assert np.allclose(before, scores(model, batch), rtol=1e-5, atol=1e-6)


def test_zero_is_represented_exactly() -> None:
    for low, high in [(-1.0, 3.0), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0)]:
        grid = compute_qparams(low, high)
        assert 0 <= grid.zero_point <= 255
        assert (0 - grid.zero_point) * grid.scale <= min(low, 0) + grid.scale
        assert (255 - grid.zero_point) * grid.scale >= max(high, 0) - grid.scale


def test_a_merged_batch_dimension_is_not_measurable() -> None:
    """(batch * tokens, c), as in the token normalization of LeViT; tokens are not a feature map."""
    nodes = [
        helper.make_node("Shape", ["input"], ["shape"], end=1),
        helper.make_node("Concat", ["shape", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["input", "target"], ["tokens"]),
        helper.make_node("HardSigmoid", ["tokens"], ["gate"]),
        helper.make_node("Flatten", ["gate"], ["rows"], axis=2),
        helper.make_node("Relu", ["rows"], ["end"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("input", 1, ["batch", 4, 4, 4])],
        [helper.make_tensor_value_info("end", 1, ["rows", 4])],
        [numpy_helper.from_array(np.array([16, 4]), "rest")],
        value_info=[helper.make_tensor_value_info("gate", 1, ["batch", 16, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    view = view_of(model)
    assert view.is_measurable("gate")
    assert not view.is_measurable("rows")
    assert hard_gates_to_convolutions(model) == 0

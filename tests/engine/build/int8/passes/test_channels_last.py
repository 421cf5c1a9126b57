"""Layout of the int8 graph: few transposes of feature maps, padded images, equal scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine.build.int8 import pipeline
from engine.build.int8.passes.channels_last import keep_channels_last_at_end, pad_image_channels
from engine.build.int8.pipeline import Calibration, prepare, quantize
from engine.build.int8.targets import get_target
from engine.onnx.graph_view import view_of
from engine.runtimes.observing import session_of
from engine.specs import TargetName

SIDE, CLASSES, WIDTH = 32, 5, 16
TO_LOGITS = {
    "Reshape": helper.make_node("Reshape", ["pooled", "shape"], ["flat"]),
    "Flatten": helper.make_node("Flatten", ["pooled"], ["flat"]),
}


def residual_model(head: str = "Reshape", shape: tuple[int, ...] = (-1, WIDTH)) -> ModelProto:
    """A residual block of two convolutions, pooled for a Gemm: the end of a network."""
    random = np.random.default_rng(5)
    constants = {
        "w0": random.normal(0, 0.2, (WIDTH, 3, 7, 7)).astype(np.float32),
        "w1": random.normal(0, 0.1, (WIDTH, WIDTH, 3, 3)).astype(np.float32),
        "fc": random.normal(0, 0.5, (CLASSES, WIDTH)).astype(np.float32),
        "shape": np.array(shape),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w0"], ["c"], strides=[2, 2], pads=[3, 3, 3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "w1"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["r", "d"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["pooled"]),
        TO_LOGITS[head],
        helper.make_node("Gemm", ["flat", "fc"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def images(size: int = 4) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, (size, 3, SIDE, SIDE)).astype(np.float32)


def built(
    model: ModelProto, target: TargetName = TargetName.X86_VNNI, arranged: bool = True
) -> ModelProto:
    calibration = Calibration(lambda: iter([images()]), "max", 99.999, 1, lambda stage, seen: None)
    asked = get_target(target)
    with pytest.MonkeyPatch.context() as patch:
        if not arranged:
            patch.setattr(pipeline, "arrange_channels_last", lambda model, view, target: None)
        return quantize(prepare(model, calibration, target=asked), asked)[0]


def scores(model: ModelProto) -> np.ndarray:
    return np.asarray(session_of(model, 1).run(None, {"input": images()})[0])


def transposes(model: ModelProto, folder: Path) -> int:
    """Number of Transpose nodes in the graph that ONNX Runtime runs."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "run.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return sum(node.op_type == "Transpose" for node in onnx.load(folder / "run.onnx").graph.node)


def ops(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("head", list(TO_LOGITS))
@pytest.mark.parametrize("target", [TargetName.X86_VNNI, TargetName.X86, TargetName.ARM])
def test_scores_are_the_same_to_the_last_bit(head: str, target: TargetName) -> None:
    arranged = built(residual_model(head), target)
    onnx.checker.check_model(arranged, full_check=True)
    assert np.array_equal(scores(arranged), scores(built(residual_model(head), target, False)))


def test_only_the_image_is_transposed(tmp_path: Path) -> None:
    assert transposes(built(residual_model()), tmp_path) == 1
    assert transposes(built(residual_model(), arranged=False), tmp_path) > 1


def test_a_head_that_would_read_another_order_is_not_changed() -> None:
    model = residual_model(shape=(0, 0))
    keep_channels_last_at_end(model, view_of(model))
    assert "Transpose" not in ops(model)


def test_images_are_padded_to_four_channels_with_weights_of_zero() -> None:
    plain, padded = built(residual_model(), arranged=False), built(residual_model())
    first, wide = (
        next(numpy_helper.to_array(t) for t in m.graph.initializer if t.name == "c/w/stored")
        for m in (plain, padded)
    )
    assert ops(padded).count("Pad") == 1
    assert wide.shape == (WIDTH, 4, 7, 7)
    assert np.array_equal(wide[:, :3], first)
    assert not wide[:, 3:].any()


def test_images_are_not_padded_where_weight_pairs_are_bounded() -> None:
    assert "Pad" not in ops(built(residual_model(), TargetName.X86))


def test_images_are_not_padded_for_tensorrt() -> None:
    made = ops(built(residual_model(), TargetName.TENSORRT))
    assert "Pad" not in made
    assert "Transpose" not in made


def test_images_are_not_padded_where_other_nodes_read_them() -> None:
    model = built(residual_model(), arranged=False)
    model.graph.node.append(helper.make_node("Identity", ["input/for/c"], ["seen"]))
    pad_image_channels(model)
    assert "Pad" not in ops(model)


def test_images_that_are_not_quantized_are_not_padded() -> None:
    model = residual_model()
    pad_image_channels(model)
    assert "Pad" not in ops(model)

"""SE gates read from the graph equal those computed by hand; other products are no gates."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.errors import InvalidRequest
from engine.excitations.per_image import (
    Block,
    Excitations,
    add_gate_outputs,
    gate_tensors,
    number_blocks,
)
from tests.support.tiny import store_build, tiny_se_model


def expected_gate(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """sigmoid(w2 relu(w1 mean(relu(conv(x))))), with the convolution by onnx's own reference."""
    from onnx.reference import ReferenceEvaluator

    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    conv = ReferenceEvaluator(model.graph.node[0]).run(None, {"input": images, "w": constants["w"]})
    squeezed = np.maximum(conv[0], 0).mean(axis=(2, 3))
    hidden = np.maximum(squeezed @ constants["w1"][:, :, 0, 0].T, 0)
    return 1 / (1 + np.exp(-(hidden @ constants["w2"][:, :, 0, 0].T)))


def test_gates_equal_those_computed_by_hand(url: str) -> None:
    model = tiny_se_model()
    network = Excitations(store_build(url, model))
    assert network.blocks == [Block(1, 1, 8)]
    images = np.random.default_rng(1).standard_normal((3, 3, 16, 16)).astype(np.float32)
    (found,) = network.batch_weights(images)
    assert found == pytest.approx(expected_gate(model, images), abs=1e-5)


def test_the_copy_still_computes_the_scores() -> None:
    model = tiny_se_model()
    copy, gates = add_gate_outputs(model)
    assert gates == [("g", 8)]
    assert [output.name for output in copy.graph.output] == ["logits", "g"]
    assert [output.name for output in model.graph.output] == ["logits"]


def test_products_that_are_no_gates_are_left_out() -> None:
    """x * hard_sigmoid(x) of a feature map, and a scale that is constant."""
    scale = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "scale")
    nodes = [
        helper.make_node("HardSigmoid", ["input"], ["h"]),
        helper.make_node("Mul", ["input", "h"], ["swish"]),
        helper.make_node("Mul", ["swish", "scale"], ["logits"]),
    ]
    shape = ["batch", 3, 8, 8]
    graph = helper.make_graph(
        nodes,
        "no gates",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [scale],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    assert gate_tensors(model) == []
    with pytest.raises(InvalidRequest, match="no SE block"):
        add_gate_outputs(model)


def test_blocks_are_numbered_by_stage() -> None:
    blocks = number_blocks([("a", 32), ("b", 32), ("c", 64)])
    assert [(block.place, block.stage) for block in blocks] == [(1, 1), (2, 1), (3, 2)]
    assert blocks[2].name == "stage 2, block 3 (64 channels)"

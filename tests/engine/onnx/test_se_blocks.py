"""SE blocks are found by what they do, whatever a runtime has made of the graph."""

from __future__ import annotations

import pytest
from onnx import helper

from engine.onnx.macs.skeleton import build_skeleton
from engine.onnx.se_blocks import block_nodes, find_gates, gated_channels
from tests.support.tiny import tiny_se_model


def test_a_block_reaches_from_the_squeeze_to_the_multiplication() -> None:
    graph = build_skeleton(tiny_se_model(), batch=1)
    (gate,) = find_gates(graph.nodes, graph.shapes, graph.constants)
    assert (gate.tensor, gate.features, gate.channels) == ("g", "r", 8)
    members = [node.name for node in block_nodes(gate, graph.nodes, graph.shapes)]
    assert members == ["squeeze", "fc1", "relu1", "fc2", "gate", "excite"]


@pytest.mark.parametrize(
    ("small", "large", "channels"),
    [
        ((1, 8, 1, 1), (1, 8, 7, 7), 8),
        ((4, 1, 1, 8), (4, 7, 7, 8), 8),
        ((1, 8, 1, 1), (1, 8, 1, 1), 0),
        ((1, 1, 1, 1), (1, 8, 7, 7), 0),
        ((1, 8, 7, 7), (1, 8, 7, 7), 0),
        ((1, 8), (1, 8, 7, 7), 0),
        ((1, 8, 1, 1), (1, 16, 7, 7), 0),
    ],
)
def test_a_gate_has_one_value_a_channel(
    small: tuple[int, ...], large: tuple[int, ...], channels: int
) -> None:
    assert gated_channels(small, large) == channels


def test_a_quantized_multiplication_is_one_too_and_a_scale_is_no_gate() -> None:
    quantized = helper.make_node(
        "QLinearMul",
        ["x", "xs", "xz", "g", "gs", "gz", "ys", "yz"],
        ["y"],
        domain="com.microsoft",
    )
    constant = helper.make_node("Mul", ["x", "scale"], ["z"])
    shapes = {"x": (1, 7, 7, 8), "g": (1, 1, 1, 8), "scale": (1, 1, 1, 8)}
    found = find_gates([quantized, constant], shapes, {"scale"})
    assert [(gate.tensor, gate.node.op_type) for gate in found] == [("g", "QLinearMul")]

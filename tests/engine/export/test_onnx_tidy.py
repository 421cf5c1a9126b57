"""Tidied graphs compute what they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper

from engine.export.onnx_cleanup import clean_graph
from engine.onnx.macs import count_compute
from tests.support.tiny import scores, tiny_se_model


def untidy() -> ModelProto:
    """As paddle2onnx writes: weights as Constant nodes, Identity everywhere, also at the end."""
    model = tiny_se_model()
    graph = model.graph
    nodes = [
        helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in graph.initializer
    ]
    del graph.initializer[:]
    nodes.append(helper.make_node("Identity", ["axes"], ["axes.cast"]))
    for node in graph.node:
        node.input[:] = ["axes.cast" if name == "axes" else name for name in node.input]
        outputs = list(node.output)
        node.output[:] = [f"{name}.raw" for name in outputs]
        nodes += [node, helper.make_node("Identity", [f"{outputs[0]}.raw"], outputs)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_the_same_scores_and_macs_with_weights_as_initialisers(tmp_path: Path) -> None:
    model = untidy()
    before = scores(model, tmp_path)
    clean_graph(model)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node}.isdisjoint({"Identity", "Constant"})
    assert {tensor.name for tensor in model.graph.initializer} == {"w", "w1", "w2", "fc", "axes"}
    assert np.array_equal(scores(model, tmp_path), before)
    assert count_compute(model) == count_compute(tiny_se_model())


def test_a_chain_of_identities_goes_whole() -> None:
    model = tiny_se_model()
    last = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "a"
    for old, new in (("a", "b"), ("b", last)):
        model.graph.node.append(helper.make_node("Identity", [old], [new]))
    clean_graph(model)
    assert model.graph.output[0].name == "a"
    assert "Identity" not in {node.op_type for node in model.graph.node}


def test_a_graph_with_subgraphs_is_left_alone() -> None:
    model = tiny_se_model()
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=inner))
    model.graph.node.append(helper.make_node("Identity", ["d"], ["e"]))
    before = model.SerializeToString()
    clean_graph(model)
    assert model.SerializeToString() == before

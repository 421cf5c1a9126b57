"""Changes of imported graphs: names, opset, data type, and values computed from shapes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from engine.export.shape_values import fold_shape_values
from engine.onnx import graph_io
from engine.onnx.macs import count_compute
from engine.onnx.opset import OPSET, convert_opset
from engine.onnx.widen import to_float32
from engine.runtimes.shape_inference import values_by_run
from tests.support.gray_levels import CLASSES, FLOAT, SIDE, branch, network, node


def test_renaming_to_a_used_name_renames_the_other_tensor_in_branches_too() -> None:
    chosen = node(
        "If", "on", "out", then_branch=branch("Softmax", "logits"), else_branch=branch("Relu", "e")
    )
    model = network(after=[chosen], gives=[("out", ["N", CLASSES], FLOAT)], on=np.array(True))
    graph_io.rename_tensor(model, "out", "logits")
    graph_io.rename_tensor(model, "s", "input")
    onnx.checker.check_model(model)
    assert model.graph.output[0].name == "logits"
    inner = next(iter(graph_io.subgraphs_of(model.graph.node[-1])))
    assert inner.node[0].input[0] == "input"
    assert inner.output[0].name not in ("logits", "input")


def test_pads_that_depend_on_the_image_size_become_constants() -> None:
    before = [
        node("Shape", "x", "shape"),
        node("Gather", "shape two", "height"),
        node("Mod", "height two", "rest"),
        node("Concat", "none none rest rest none none rest rest", "pads", axis=0),
        node("Pad", "x pads", "y"),
    ]
    constants = {"two": np.array([2]), "none": np.array([0])}
    model = network(before, image="y", takes=("x", ["N", 3, SIDE, SIDE], FLOAT), **constants)
    assert fold_shape_values(model, SIDE) >= 1
    assert [n.op_type for n in model.graph.node] == ["Pad", "GlobalAveragePool", "Flatten", "Gemm"]
    pads = next(t for t in model.graph.initializer if t.name == "pads")
    assert numpy_helper.to_array(pads).tolist() == [0] * 8
    assert count_compute(model).macs == 3 * CLASSES


def test_values_that_depend_on_the_batch_stay_computed() -> None:
    flatten = [node("Shape", "x", "shape"), node("Gather", "shape zero", "n")]
    joined = node("Concat", "n three", "target", axis=0)
    model = network(
        [*flatten, joined],
        flatten=node("Reshape", "pooled target", "flat"),
        zero=np.array([0]),
        three=np.array([3]),
    )
    assert fold_shape_values(model, SIDE) == 0
    assert values_by_run(model, ["s"], SIDE, batch=5)["s"].shape == (5, CLASSES)


def test_converted_opsets_compute_the_same() -> None:
    old = network(after=[node("Softmax", "s", "p")], gives=[("p", ["N", CLASSES], FLOAT)], opset=9)
    made = convert_opset(old)
    assert graph_io.opset_of(made) == OPSET
    was, now = (values_by_run(model, ["p"], SIDE, 2)["p"] for model in (old, made))
    assert np.array_equal(was, now)


def test_float16_weights_keep_their_values_in_float32() -> None:
    model = network(takes=("x", ["N", 3, SIDE, SIDE], onnx.TensorProto.FLOAT16))
    wanted = {}
    for tensor in model.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        wanted[tensor.name] = half.astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    assert to_float32(model) == "float16"
    for tensor in model.graph.initializer:
        assert np.array_equal(numpy_helper.to_array(tensor), wanted[tensor.name])
    assert to_float32(model) is None

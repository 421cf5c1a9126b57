"""A tiny network with grouped convolutions of several widths, and its int8 model."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine.build.int8.pipeline import PreparedModel, prepare, quantize
from engine.build.int8.targets import get_target
from engine.specs import TargetName
from tests.support.mobile import calibration
from tests.support.tiny import CLASSES, SIDE

GROUPS, GROUP_INPUTS = 8, 4
WIDTH = GROUPS * GROUP_INPUTS


def grouped_model(
    bias: bool = True, relu: bool = True, group_inputs: int = GROUP_INPUTS
) -> ModelProto:
    """Conv, grouped 3x3, depthwise 3x3, grouped 3x3 of stride 2 to twice the channels, Gemm.

    Without `relu` the grouped convolutions read values of both signs: zero points are not 0.
    """
    random = np.random.default_rng(7)
    width = GROUPS * group_inputs
    constants = {
        "w0": random.normal(0, 0.3, (width, 3, 3, 3)),
        "w1": random.normal(0, 0.3, (width, group_inputs, 3, 3)),
        "w2": random.normal(0, 0.4, (width, 1, 3, 3)),
        "w3": random.normal(0, 0.3, (2 * width, group_inputs, 3, 3)),
        "fc": random.normal(0, 0.5, (CLASSES, 2 * width)),
    }
    if bias:
        constants |= {f"b{n}": random.normal(0, 0.5, len(constants[f"w{n}"])) for n in range(4)}
    nodes, source = [], "input"
    settings = ({}, {"group": GROUPS}, {"group": width}, {"group": GROUPS, "strides": [2, 2]})
    for number, more in enumerate(settings):
        inputs = [source, f"w{number}", *([f"b{number}"] if bias else [])]
        source = f"c{number}"
        nodes.append(helper.make_node("Conv", inputs, [source], pads=[1, 1, 1, 1], **more))
        if relu:
            nodes.append(helper.make_node("Relu", [source], [f"r{number}"]))
            source = f"r{number}"
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "grouped",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def int8_of(
    source: ModelProto, target: TargetName = TargetName.X86_VNNI
) -> tuple[ModelProto, PreparedModel]:
    """The int8 model of a network, with its groups as they are, and what it was written from."""
    chosen = get_target(target)
    prepared = prepare(source, calibration(), target=chosen)
    return quantize(prepared, chosen)[0], prepared

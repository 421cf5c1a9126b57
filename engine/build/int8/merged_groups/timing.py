"""Measures how long a grouped integer convolution takes with its groups merged by each factor.

The kernel is the one that ONNX Runtime makes of an int8 build (QLinearConv, channels last). It is
timed on one thread by CPU time, interleaved over the factors, so that neither other jobs nor a
changing clock decide the choice.
"""

from __future__ import annotations

import statistics

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine.build.int8.merged_groups.layers import ConvolutionShape, widen
from engine.runtimes.kernel_timing import TimedGraph

OPSET = 18
COPIES = 3
"""Convolutions in a timed graph, each with weights of its own, as in a network."""
FIRST_RUNS, ROUNDS = 2, 4
HOPELESS = 1.5
"""A factor so many times slower than the fastest is not measured further, nor is any larger one."""
MAX_GROUP_INPUTS = 128
"""Wider groups are never faster: kernels are full at 16 to 64 channels."""


def measure_factors(shape: ConvolutionShape, signed: bool) -> dict[int, float]:
    """ms by factor, the medians of interleaved rounds; `signed`: activations are int8, not uint8.

    Factors that are far from the fastest have FIRST_RUNS only.
    """
    activations = np.int8 if signed else np.uint8
    limits = np.iinfo(activations)
    random = np.random.default_rng(0)
    size = (1, *shape.side, shape.inputs)
    values = random.integers(limits.min, limits.max, size, activations, endpoint=True)
    graphs: dict[int, TimedGraph] = {}
    times: dict[int, list[float]] = {}
    for factor in shape.factors(MAX_GROUP_INPUTS):
        graphs[factor] = TimedGraph(timed_model(shape, factor, signed), {"x": values})
        times[factor] = [graphs[factor].cpu_ms() for _ in range(FIRST_RUNS)]
        if min(times[factor]) > HOPELESS * min(map(min, times.values())):
            break
    fastest = min(map(min, times.values()))
    hopeful = [factor for factor in times if min(times[factor]) <= HOPELESS * fastest]
    for _ in range(ROUNDS):
        for factor in hopeful:
            times[factor].append(graphs[factor].cpu_ms())
    return {factor: statistics.median(times[factor]) / COPIES for factor in times}


def timed_model(shape: ConvolutionShape, factor: int, signed: bool) -> ModelProto:
    """COPIES convolutions of `x` (1, height, width, channels), of random weights."""
    random = np.random.default_rng(1)
    activations = np.int8 if signed else np.uint8
    constants: dict[str, np.ndarray] = {
        "x_scale": np.array(0.02, np.float32),
        "zero": np.array(3, activations),
        "w_scale": np.full(shape.outputs, 0.01, np.float32),
        "w_zero": np.zeros(shape.outputs, np.int8),
        "y_scale": np.array(0.5, np.float32),
        "bias": np.zeros(shape.outputs, np.int32),
    }
    nodes = []
    for copy in range(COPIES):
        # Half of 8 bits: pairs of products fit in 16 bits on every processor.
        narrow = random.integers(-63, 63, (shape.outputs, shape.group_inputs, *shape.kernel))
        constants[f"w{copy}"] = widen(narrow.astype(np.int8), shape.groups, factor)
        inputs = ("x", "x_scale", "zero", f"w{copy}", "w_scale", "w_zero", "y_scale", "zero")
        nodes.append(
            helper.make_node(
                "QLinearConv",
                [*inputs, "bias"],
                [f"y{copy}"],
                domain="com.microsoft",
                channels_last=1,
                group=shape.groups // factor,
                kernel_shape=shape.kernel,
                strides=shape.strides,
                pads=shape.pads,
                dilations=shape.dilations,
            )
        )
    kind = TensorProto.INT8 if signed else TensorProto.UINT8
    size = [1, *shape.side, shape.inputs]
    graph = helper.make_graph(
        nodes,
        "grouped convolutions",
        [helper.make_tensor_value_info("x", kind, size)],
        [helper.make_tensor_value_info(f"y{copy}", kind, None) for copy in range(COPIES)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)

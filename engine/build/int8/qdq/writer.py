"""Writes the int8 model: QuantizeLinear and DequantizeLinear around what is to run in integers.

Each stored tensor is quantized once, where it is made; each reader has a DequantizeLinear of its
own. So every integer node stands between the two, which is what ONNX Runtime fuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.equalization.apply_scales import SCALED
from engine.build.int8.qdq.placement import WEIGHTED, Placing
from engine.build.int8.qdq.qparams import SMALLEST_STEP, Grid
from engine.build.int8.qdq.weights import channel_axis, quantize_layer
from engine.build.int8.targets import Target
from engine.onnx.graph_view import group_of

LARGEST_BIAS = 2**30
"""In steps of the products; half of what 32 bits hold."""


@dataclass(slots=True)
class _Writer:
    placing: Placing
    grids: dict[str, Grid]
    target: Target
    means: dict[str, np.ndarray]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def grid(self, tensor: str) -> list[str]:
        grid = self.grids[tensor]
        return [
            self.constant(f"{tensor}/step", np.array(grid.step, np.float32)),
            self.constant(f"{tensor}/zero", np.array(grid.zero, grid.dtype)),
        ]

    def quantize_scaled(self, node: NodeProto) -> None:
        """A product by channel and the rounding after it, as one QuantizeLinear by channel."""
        tensor, (source, factors) = node.output[0], node.input
        grid, name = self.grids[tensor], f"{tensor}/stored"
        steps = grid.step / self.placing.view.constants[factors].reshape(-1)
        inputs = [
            source,
            self.constant(f"{tensor}/steps", steps.astype(np.float32)),
            self.constant(f"{tensor}/zeros", np.full(len(steps), grid.zero, grid.dtype)),
        ]
        self.nodes.append(helper.make_node("QuantizeLinear", inputs, [name], name=name, axis=1))

    def quantize(self, tensor: str) -> None:
        name = f"{tensor}/stored"
        self.nodes.append(
            helper.make_node("QuantizeLinear", [tensor, *self.grid(tensor)], [name], name=name)
        )

    def dequantize(self, tensor: str, reader: str) -> str:
        name = f"{tensor}/for/{reader}"
        if not any(node.output[0] == name for node in self.nodes[-4:]):
            inputs = [f"{tensor}/stored", *self.grid(tensor)]
            self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name))
        return name

    def dequantize_by_channel(self, tensor: str, reader: str) -> str:
        """For a layer that stays in float.

        Behind one step for the whole tensor, ONNX Runtime (WeightBiasQuantization) would round the
        weights of the layer all the same, and coarsely; it leaves alone what has a step a channel.
        """
        name, grid = f"{tensor}/for/{reader}", self.grids[tensor]
        channels = self.placing.view.channels(tensor) or 1
        inputs = [
            f"{tensor}/stored",
            self.constant(f"{tensor}/steps by channel", np.full(channels, grid.step, np.float32)),
            self.constant(f"{tensor}/zeros", np.full(channels, grid.zero, grid.dtype)),
        ]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=1))
        return name

    def weights(self, node: NodeProto, step: float) -> list[str]:
        """Names of dequantized weights and bias; the bias on the grid of the products, or float."""
        values = self.placing.view.constants
        weights, output = values[node.input[1]], node.output[0]
        axis = channel_axis(node)
        given = values[node.input[2]].astype(np.float64) if len(node.input) > 2 else 0.0
        # A channel of next to no weights may have a bias that 32 bits could not count in its steps.
        least = np.abs(given) / (step * LARGEST_BIAS) + SMALLEST_STEP
        whole, steps = quantize_layer(node, weights, self.target.adds_pairs_in_16_bits, least)
        bias = given + self._lost(node, weights, whole, steps, axis)
        names = [self._along(f"{output}/w", np.moveaxis(whole, 0, axis), steps, axis)]
        if self.target.float_bias:
            return [*names, self.constant(f"{output}/b", bias.astype(np.float32))]
        stored = np.round(bias / (steps * step)).astype(np.int32)
        return [*names, self._along(f"{output}/b", stored, steps * step, 0)]

    def _lost(
        self, node: NodeProto, weights: np.ndarray, whole: np.ndarray, steps: np.ndarray, axis: int
    ) -> np.ndarray:
        """What rounded weights shift the mean of each output by."""
        means = self.means.get(node.input[0])
        if means is None:
            return np.zeros(len(steps))
        rounded = whole * steps.reshape(-1, *[1] * (whole.ndim - 1))
        return mean_output(node, np.moveaxis(weights, axis, 0) - rounded, means)

    def _along(self, name: str, stored: np.ndarray, steps: np.ndarray, axis: int) -> str:
        inputs = [
            self.constant(f"{name}/stored", stored),
            self.constant(f"{name}/steps", steps.astype(np.float32)),
            self.constant(f"{name}/zeros", np.zeros(len(steps), stored.dtype)),
        ]
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=axis)
        )
        return name


def write(
    model: ModelProto,
    placing: Placing,
    grids: dict[str, Grid],
    target: Target,
    means: dict[str, np.ndarray] | None = None,
) -> ModelProto:
    """A new model. `grids` has every stored tensor.

    `means` of channels (by tensor) let biases take back what rounded weights shift.
    """
    writer = _Writer(placing, grids, target, means or {})
    stored = set(placing.stored)
    for value in model.graph.input:
        if value.name in stored:
            writer.quantize(value.name)
    for node in model.graph.node:
        _write_node(writer, node, stored)
    return _assemble(model, writer)


def _write_node(writer: _Writer, node: NodeProto, stored: set[str]) -> None:
    output, by_channel = node.output[0], writer.target.fuses_only_in_integers
    if by_channel and output in stored and output.endswith(SCALED) and node.input[0] not in stored:
        writer.quantize_scaled(node)
        return
    weighted = node.op_type in WEIGHTED and output not in writer.placing.floating
    in_float = node.op_type in WEIGHTED and not weighted
    dequantize = writer.dequantize_by_channel if in_float and by_channel else writer.dequantize
    inputs = [dequantize(name, output) if name in stored else name for name in node.input]
    if weighted and node.input[0] in stored:
        inputs[1:] = writer.weights(node, writer.grids[node.input[0]].step)
    copied = NodeProto()
    copied.CopyFrom(node)
    copied.input[:] = inputs
    writer.nodes.append(copied)
    if output in stored:
        writer.quantize(output)


def mean_output(node: NodeProto, weights: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Mean of each output of a convolution or Gemm (channels first) whose inputs have `means`."""
    by_input = weights.astype(np.float64).reshape(*weights.shape[:2], -1).sum(axis=2)
    groups = group_of(node) if node.op_type == "Conv" else 1
    by_group = by_input.reshape(groups, -1, by_input.shape[1])
    return np.asarray(np.einsum("goi,gi->go", by_group, means.reshape(groups, -1)).reshape(-1))


def _assemble(model: ModelProto, writer: _Writer) -> ModelProto:
    used = {name for node in writer.nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = helper.make_graph(
        writer.nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [*kept, *writer.constants.values()],
    )
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return made

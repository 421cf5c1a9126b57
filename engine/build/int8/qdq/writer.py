"""Writes the int8 model: QuantizeLinear and DequantizeLinear around all integer nodes (QDQ format).

Each quantized tensor has one QuantizeLinear after its producer, and a separate DequantizeLinear for
each consumer. Every integer node is thus between the two, the pattern that ONNX Runtime fuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.int8.equalization.apply_scales import SCALED
from engine.build.int8.qdq.placement import WEIGHTED_OPS, QuantizerPlacement
from engine.build.int8.qdq.qparams import MIN_SCALE, QParams
from engine.build.int8.qdq.weights import WeightCache, channel_axis, quantize_layer
from engine.build.int8.targets import Target
from engine.onnx.graph_view import group_count

MAX_BIAS = 2**30
"""Largest stored bias (int32); half of the range is left for the sum of products."""


@dataclass(slots=True)
class _Writer:
    placement: QuantizerPlacement
    qparams: dict[str, QParams]
    target: Target
    channel_means: dict[str, np.ndarray]
    weight_cache: WeightCache
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def qparam_inputs(self, tensor: str) -> list[str]:
        tensor_qparams = self.qparams[tensor]
        return [
            self.constant(f"{tensor}/step", np.array(tensor_qparams.scale, np.float32)),
            self.constant(
                f"{tensor}/zero", np.array(tensor_qparams.zero_point, tensor_qparams.dtype)
            ),
        ]

    def quantize_scaled(self, node: NodeProto) -> None:
        """Writes a per-channel Mul and its quantization as one per-channel QuantizeLinear."""
        tensor, (source, factors) = node.output[0], node.input
        tensor_qparams, name = self.qparams[tensor], f"{tensor}/stored"
        scales = tensor_qparams.scale / self.placement.view.constants[factors].reshape(-1)
        inputs = [
            source,
            self.constant(f"{tensor}/steps", scales.astype(np.float32)),
            self.constant(
                f"{tensor}/zeros",
                np.full(len(scales), tensor_qparams.zero_point, tensor_qparams.dtype),
            ),
        ]
        self.nodes.append(helper.make_node("QuantizeLinear", inputs, [name], name=name, axis=1))

    def quantize(self, tensor: str) -> None:
        name = f"{tensor}/stored"
        self.nodes.append(
            helper.make_node(
                "QuantizeLinear", [tensor, *self.qparam_inputs(tensor)], [name], name=name
            )
        )

    def dequantize(self, tensor: str, consumer: str) -> str:
        name = f"{tensor}/for/{consumer}"
        if not any(node.output[0] == name for node in self.nodes[-4:]):
            inputs = [f"{tensor}/stored", *self.qparam_inputs(tensor)]
            self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name))
        return name

    def dequantize_by_channel(self, tensor: str, consumer: str) -> str:
        """Adds a per-channel DequantizeLinear for a layer that stays in float.

        After a per-tensor one, ONNX Runtime (WeightBiasQuantization) would quantize the weights of
        the float layer, per tensor; after a per-channel one it does not.
        """
        name, tensor_qparams = f"{tensor}/for/{consumer}", self.qparams[tensor]
        channels = self.placement.view.channels(tensor) or 1
        inputs = [
            f"{tensor}/stored",
            self.constant(
                f"{tensor}/steps by channel", np.full(channels, tensor_qparams.scale, np.float32)
            ),
            self.constant(
                f"{tensor}/zeros",
                np.full(channels, tensor_qparams.zero_point, tensor_qparams.dtype),
            ),
        ]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=1))
        return name

    def weights(self, node: NodeProto, scale: float) -> list[str]:
        """Names of dequantized weights and bias; the bias is int32, or float for some targets."""
        values = self.placement.view.constants
        weights, output = values[node.input[1]], node.output[0]
        axis = channel_axis(node)
        original = values[node.input[2]].astype(np.float64) if len(node.input) > 2 else 0.0
        bound_pairs = self.target.adds_pairs_in_16_bits
        quantized, scales = self.weight_cache.quantize(node, weights, bound_pairs)
        # With a tiny weight scale, the bias of a channel could overflow int32.
        min_scale = np.abs(original) / (scale * MAX_BIAS) + MIN_SCALE
        if (scales < min_scale).any():
            quantized, scales = quantize_layer(node, weights, bound_pairs, min_scale)
        bias = original + self._bias_correction(node, weights, quantized, scales, axis)
        names = [
            self._dequantize_constant(f"{output}/w", np.moveaxis(quantized, 0, axis), scales, axis)
        ]
        if self.target.float_bias:
            return [*names, self.constant(f"{output}/b", bias.astype(np.float32))]
        stored = np.round(bias / (scales * scale)).astype(np.int32)
        return [*names, self._dequantize_constant(f"{output}/b", stored, scales * scale, 0)]

    def _bias_correction(
        self,
        node: NodeProto,
        weights: np.ndarray,
        quantized: np.ndarray,
        scales: np.ndarray,
        axis: int,
    ) -> np.ndarray:
        """Bias correction: the shift of each output's mean caused by rounding the weights."""
        channel_means = self.channel_means.get(node.input[0])
        if channel_means is None:
            return np.zeros(len(scales))
        dequantized = quantized * scales.reshape(-1, *[1] * (quantized.ndim - 1))
        return mean_output(node, np.moveaxis(weights, axis, 0) - dequantized, channel_means)

    def _dequantize_constant(
        self, name: str, stored: np.ndarray, scales: np.ndarray, axis: int
    ) -> str:
        inputs = [
            self.constant(f"{name}/stored", stored),
            self.constant(f"{name}/steps", scales.astype(np.float32)),
            self.constant(f"{name}/zeros", np.zeros(len(scales), stored.dtype)),
        ]
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=axis)
        )
        return name


def write_qdq_model(
    model: ModelProto,
    placement: QuantizerPlacement,
    qparams: dict[str, QParams],
    target: Target,
    channel_means: dict[str, np.ndarray] | None = None,
    weight_cache: WeightCache | None = None,
) -> ModelProto:
    """Writes a new model in QDQ format; `qparams` has every quantized tensor.

    `channel_means` by tensor are used for bias correction; tensors without means get none.
    """
    writer = _Writer(placement, qparams, target, channel_means or {}, weight_cache or WeightCache())
    stored = set(placement.quantized)
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
    weighted = node.op_type in WEIGHTED_OPS and output not in writer.placement.float_nodes
    is_float_layer = node.op_type in WEIGHTED_OPS and not weighted
    dequantize = (
        writer.dequantize_by_channel if is_float_layer and by_channel else writer.dequantize
    )
    inputs = [dequantize(name, output) if name in stored else name for name in node.input]
    if weighted and node.input[0] in stored:
        inputs[1:] = writer.weights(node, writer.qparams[node.input[0]].scale)
    copied = NodeProto()
    copied.CopyFrom(node)
    copied.input[:] = inputs
    writer.nodes.append(copied)
    if output in stored:
        writer.quantize(output)


def mean_output(node: NodeProto, weights: np.ndarray, channel_means: np.ndarray) -> np.ndarray:
    """Mean of each output of a Conv or Gemm (weights channels first) from its input means."""
    by_input = weights.astype(np.float64).reshape(*weights.shape[:2], -1).sum(axis=2)
    groups = group_count(node) if node.op_type == "Conv" else 1
    by_group = by_input.reshape(groups, -1, by_input.shape[1])
    return np.asarray(
        np.einsum("goi,gi->go", by_group, channel_means.reshape(groups, -1)).reshape(-1)
    )


def _assemble(model: ModelProto, writer: _Writer) -> ModelProto:
    used = {name for node in writer.nodes for name in node.input}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = helper.make_graph(
        writer.nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [*constants, *writer.constants.values()],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)

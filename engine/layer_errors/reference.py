"""The tensors of fp32 in the scale of an int8 build: what each quantized tensor should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper

from engine.build.int8.equalization.apply_scales import SCALED
from engine.build.int8.passes.hard_swish import split_hard_swish
from engine.build.int8.passes.squeeze import squeeze_to_global_pool
from engine.build.int8.qdq.placement import WEIGHTED_OPS
from engine.onnx import graph_io
from engine.runtimes.observing import plain_session_of


@dataclass(frozen=True, slots=True)
class Reference:
    """The fp32 graph that a build was made from, and what its channels were multiplied by."""

    graph: ModelProto
    factors: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, source: ModelProto, factors: Mapping[str, np.ndarray]) -> Reference:
        """`source`: the optimized export; a build rewrites it under the same names."""
        graph = ModelProto()
        graph.CopyFrom(source)
        squeeze_to_global_pool(graph)
        split_hard_swish(graph)
        return cls(graph, factors)

    def layer_names(self) -> dict[str, str]:
        """Output of a convolution or Gemm -> the name of its weights in the export."""
        return {
            node.output[0]: node.input[1].removesuffix(".weight")
            for node in self.graph.graph.node
            if node.op_type in WEIGHTED_OPS
        }

    def reader(self, tensors: list[str], threads: int) -> ReferenceReader:
        """Computes those of `tensors` that fp32 has."""
        made = {name for node in self.graph.graph.node for name in node.output}
        made |= {value.name for value in self.graph.graph.input}
        sources = {t: s for t in tensors if (s := _source_of(t)) in made}
        return ReferenceReader(self, sources, threads)


def _source_of(tensor: str) -> str:
    """The tensor of fp32 that a tensor of a build stands for."""
    return tensor.removesuffix(SCALED)


class ReferenceReader:
    """A session that gives the fp32 values of tensors of a build; `sources`: tensor -> in fp32."""

    def __init__(self, reference: Reference, sources: Mapping[str, str], threads: int) -> None:
        self._factors, self._sources = reference.factors, sources
        self._names = [name for name in dict.fromkeys(sources.values()) if name != graph_io.INPUT]
        observed = ModelProto()
        observed.CopyFrom(reference.graph)
        del observed.graph.output[:]
        observed.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._names
        )
        self._session = plain_session_of(observed, threads)

    def read(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Tensor -> its fp32 values for an image (1, 3, h, w), in the scale of the build."""
        feeds = {graph_io.INPUT: image}
        values = dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        values |= feeds
        return {
            tensor: _scaled(values[source], self._factors.get(tensor))
            for tensor, source in self._sources.items()
        }


def _scaled(values: np.ndarray, factor: np.ndarray | None) -> np.ndarray:
    if factor is None:
        return values
    shape = (1, -1, *[1] * (values.ndim - 2))
    return np.asarray(values * factor.reshape(shape), np.float32)

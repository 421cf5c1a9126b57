"""Values and shapes of a graph's tensors, as a run of it gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from engine.runtimes.onnxruntime import batch_of, options_of, run_within, session_over

if TYPE_CHECKING:
    from onnx import ModelProto

VALUES_LIMIT_S = 60.0


def values_by_run(
    model: ModelProto, names: Sequence[str], side: int, batch: int = 1
) -> dict[str, np.ndarray]:
    """Tensors of a graph as one run of black images (batch, 3, side, side) gives them.

    Empty where the graph does not run with these tensors as outputs.
    """
    from onnx import ModelProto, ValueInfoProto

    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(ValueInfoProto(name=name) for name in names)
    options = options_of(0, ort.GraphOptimizationLevel.ORT_DISABLE_ALL, severity=4)
    try:
        session = session_over(probe.SerializeToString(), options)
        images = np.zeros((batch_of(session) or batch, 3, side, side), np.float32)
        values = run_within(session, names, images, VALUES_LIMIT_S)
    except Exception:  # the caller does without
        return {}
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def shapes_by_run(model: ModelProto, side: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor as one run of an image (1, 3, side, side) gives it."""
    names = [name for node in model.graph.node for name in node.output if name]
    values = values_by_run(model, names, side)
    return {name: value.shape for name, value in values.items()}

"""Nodes of an fp16 build that stay in fp32 because values, sums or weights do not fit fp16."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from engine.build.fp16.limits import HALF, LARGEST, LIMIT, VANISHED, WEIGHTED
from engine.build.fp16.value_ranges import Extremes


@dataclass(frozen=True, slots=True)
class Kept:
    """A node that stays in fp32: `node` is its name (see `name_of`), `output` its first output."""

    node: str
    op: str
    output: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Facts:
    extremes: Extremes
    constants: dict[str, np.ndarray]


def keep_in_float(model: ModelProto, extremes: Extremes) -> list[Kept]:
    """The nodes that stay in fp32, in graph order, each with the first reason that applies."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    facts = _Facts(extremes, constants)
    float_nodes = []
    for node in model.graph.node:
        if not any(name in extremes.values for name in (*node.input, *node.output)):
            continue
        reason = next((r for test in _TESTS for r in test(node, facts)), None)
        if reason:
            float_nodes.append(Kept(name_of(node, constants), node.op_type, node.output[0], reason))
    return float_nodes


def name_of(node: NodeProto, constants: dict[str, np.ndarray]) -> str:
    """Name of a node for users: of its weights, else its own, else of its first output."""
    if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in constants:
        return str(node.input[1].removesuffix(".weight"))
    return str(node.name or node.output[0])


def _without_kernel(node: NodeProto, facts: _Facts) -> Iterator[str]:
    if node.op_type not in HALF:
        yield f"{node.op_type} is not supported in fp16"


def _out_of_range(node: NodeProto, facts: _Facts) -> Iterator[str]:
    for verb, names in (("outputs", node.output), ("reads", node.input)):
        for name in names:
            largest = facts.extremes.values.get(name, 0.0)
            if largest > LIMIT:
                yield f"{verb} values up to {largest:.3g}; the fp16 maximum is {LARGEST:.0f}"


def _sums_too_large(node: NodeProto, facts: _Facts) -> Iterator[str]:
    total = facts.extremes.sums.get(node.output[0], 0.0)
    if total > LIMIT:
        yield f"sums up to {total:.3g} before dividing; the fp16 maximum is {LARGEST:.0f}"


def _weights_do_not_fit(node: NodeProto, facts: _Facts) -> Iterator[str]:
    for name in node.input:
        values = facts.constants.get(name)
        if values is None or values.dtype != np.float32 or not values.size:
            continue
        largest = float(np.abs(values).max())
        if np.isfinite(largest) and largest > LARGEST and not _is_bound(node, name):
            yield f"has weights up to {largest:.3g}; the fp16 maximum is {LARGEST:.0f}"
        elif largest > 0 and _rounding_error(values) > VANISHED:
            yield f"has weights of at most {largest:.1e}, which round to 0 in fp16"


def _is_bound(node: NodeProto, name: str) -> bool:
    """Whether the input is a bound of a Clip, which may become infinite: then it has no effect."""
    return node.op_type == "Clip" and name in node.input[1:]


def _rounding_error(values: np.ndarray) -> float:
    """Relative error (L2) of weights rounded to fp16; infinite values are not counted."""
    exact = values.astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16).astype(np.float64)
    finite = np.isfinite(rounded)
    error = float(((rounded - exact)[finite] ** 2).sum())
    return float(np.sqrt(error / max(float((exact**2).sum()), 1e-300)))


_TESTS: tuple[Callable[[NodeProto, _Facts], Iterator[str]], ...] = (
    _without_kernel,
    _out_of_range,
    _sums_too_large,
    _weights_do_not_fit,
)

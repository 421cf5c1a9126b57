"""Which nodes stay in float because half precision does not hold what they read, make or add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from engine.build.fp16.limits import HALF, LARGEST, LIMIT, VANISHED, WEIGHTED
from engine.build.fp16.value_ranges import Extremes


@dataclass(frozen=True, slots=True)
class Kept:
    """One node: `node` by the name of its weights or its own, `output` its first tensor."""

    node: str
    op: str
    output: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Known:
    extremes: Extremes
    constants: dict[str, np.ndarray]


def keep_in_float(model: ModelProto, extremes: Extremes) -> list[Kept]:
    """The nodes to keep, in graph order, with the first reason that each has."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    known = _Known(extremes, constants)
    kept = []
    for node in model.graph.node:
        if not any(name in extremes.values for name in (*node.input, *node.output)):
            continue
        reason = next((r for test in _TESTS for r in test(node, known)), None)
        if reason:
            kept.append(Kept(name_of(node, constants), node.op_type, node.output[0], reason))
    return kept


def name_of(node: NodeProto, constants: dict[str, np.ndarray]) -> str:
    """A node as people know it: by its weights, its own name, or what it makes."""
    if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in constants:
        return str(node.input[1].removesuffix(".weight"))
    return str(node.name or node.output[0])


def _without_kernel(node: NodeProto, known: _Known) -> Iterator[str]:
    if node.op_type not in HALF:
        yield f"{node.op_type} is not known to work in half precision"


def _out_of_range(node: NodeProto, known: _Known) -> Iterator[str]:
    for verb, names in (("makes", node.output), ("reads", node.input)):
        for name in names:
            seen = known.extremes.values.get(name, 0.0)
            if seen > LIMIT:
                yield f"{verb} values up to {seen:.3g}; {LARGEST:.0f} is the largest"


def _sums_too_large(node: NodeProto, known: _Known) -> Iterator[str]:
    total = known.extremes.sums.get(node.output[0], 0.0)
    if total > LIMIT:
        yield f"adds up to {total:.3g} before it divides; {LARGEST:.0f} is the largest"


def _weights_do_not_fit(node: NodeProto, known: _Known) -> Iterator[str]:
    for name in node.input:
        values = known.constants.get(name)
        if values is None or values.dtype != np.float32 or not values.size:
            continue
        largest = float(np.abs(values).max())
        if np.isfinite(largest) and largest > LARGEST and not _is_bound(node, name):
            yield f"has weights up to {largest:.3g}; {LARGEST:.0f} is the largest"
        elif largest > 0 and _lost(values) > VANISHED:
            yield f"has weights as small as {largest:.1e} at most, which vanish in half precision"


def _is_bound(node: NodeProto, name: str) -> bool:
    """The bound of a Clip may be infinite in half precision: nothing is cut there then."""
    return node.op_type == "Clip" and name in node.input[1:]


def _lost(values: np.ndarray) -> float:
    """Share of the size of weights that rounding takes."""
    exact = values.astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16).astype(np.float64)
    finite = np.isfinite(rounded)
    wrong = float(((rounded - exact)[finite] ** 2).sum())
    return float(np.sqrt(wrong / max(float((exact**2).sum()), 1e-300)))


_TESTS: tuple[Callable[[NodeProto, _Known], Iterator[str]], ...] = (
    _without_kernel,
    _out_of_range,
    _sums_too_large,
    _weights_do_not_fit,
)

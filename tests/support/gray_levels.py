"""A 1 kB classifier of twelve gray levels, written in the forms that real ONNX files have.

GlobalAveragePool -> Gemm finds the nearest level, so the class of a gray image is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from PIL import Image

CLASSES, SIDE = 12, 32
LEVELS = (np.arange(CLASSES) + 0.5) / CLASSES
WEIGHTS = np.tile((2 * LEVELS / 3)[None, :], (3, 1)).astype(np.float32)
BIAS = (-(LEVELS**2)).astype(np.float32)
FLOAT = TensorProto.FLOAT
PLAIN = {
    "resize": None,
    "crop": SIDE,
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
}
"""Preprocessing: pixels in [0, 1]."""

Shape = Sequence[int | str | None] | None


def node(op: str, inputs: str, output: str, **attributes: object) -> NodeProto:
    """A node; inputs are separated by spaces."""
    return helper.make_node(op, inputs.split(), [output], **attributes)


def value(name: str, shape: Shape, kind: int = FLOAT) -> object:
    """A declared input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def classify(image: str, scores: str, flatten: NodeProto | None = None) -> list[NodeProto]:
    """The network itself, from one tensor to another."""
    return [
        node("GlobalAveragePool", image, "pooled"),
        flatten or node("Flatten", "pooled", "flat", axis=1),
        node("Gemm", "flat W b", scores),
    ]


def network(
    before: Sequence[NodeProto] = (),
    after: Sequence[NodeProto] = (),
    *,
    image: str = "x",
    scores: str = "s",
    takes: tuple[str, Shape, int] | None = None,
    gives: Sequence[tuple[str, Shape, int]] | None = None,
    flatten: NodeProto | None = None,
    opset: int = 13,
    ir_version: int = 8,
    **constants: np.ndarray,
) -> ModelProto:
    """`before` leads to `image`, `after` follows `scores`; (name, shape, type) of what goes in."""
    constants = {"W": WEIGHTS, "b": BIAS, **constants}
    inputs = [value(*(takes or (image, ["N", 3, SIDE, SIDE], FLOAT)))]
    outputs = [value(*one) for one in gives or [(scores, ["N", CLASSES], FLOAT)]]
    graph = helper.make_graph(
        [*before, *classify(image, scores, flatten), *after],
        "gray levels",
        inputs,
        outputs,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def branch(op: str, output: str) -> GraphProto:
    """A subgraph of one node that reads the scores of the outer graph."""
    attributes = {"axis": 1} if op == "Softmax" else {}
    declared = [value(output, ["N", CLASSES])]
    return helper.make_graph([node(op, "s", output, **attributes)], op, [], declared)


def gray_images() -> np.ndarray:
    """float32 (12, 3, side, side) in [0, 1]: one image of each level, in order."""
    levels = LEVELS.astype(np.float32)[:, None, None, None]
    return np.broadcast_to(levels, (CLASSES, 3, SIDE, SIDE)).copy()


def gray_folder(root: Path, each: int = 5) -> Path:
    """A folder per class of gray images around its level."""
    for label, level in enumerate(LEVELS):
        folder = root / f"{label:02d}"
        folder.mkdir(parents=True)
        for number in range(each):
            pixels = np.full((SIDE, SIDE, 3), round(level * 255) + number - each // 2, np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root

"""The signature of a user's classifier: its image input, and the output that holds the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from engine.common.scores import as_scores, softmax
from engine.errors import ExportFailed
from engine.onnx import graph_io

DEFAULT_SIDE = 224
CHANNELS = 3
INTEGER_TYPES = frozenset({TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64})
"""Inputs of these types take pixels from 0 to 255, without normalization."""
FLOAT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})
MAX_PIXEL = 255


class Layout(StrEnum):
    """The order of the dimensions of a batch of images."""

    NCHW = "NCHW"
    NHWC = "NHWC"


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One interpretation of a graph's image input; `batch` is None where it is dynamic.

    `side` in pixels, `type` a TensorProto data type. `side_is_open`: the file declares no side, so
    any can be requested.
    """

    name: str
    layout: Layout
    side: int
    type: int
    batch: int | None
    side_is_open: bool = False

    @property
    def takes_integer_pixels(self) -> bool:
        """Whether it takes integers from 0 to 255."""
        return self.type in INTEGER_TYPES

    @property
    def type_name(self) -> str:
        """`float32`, `uint8`, ..."""
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(self.type)))

    def feed(self, images: np.ndarray) -> np.ndarray:
        """Converts float32 images (n, 3, side, side) to the layout and type of the original."""
        shaped = images.transpose(0, 2, 3, 1) if self.layout is Layout.NHWC else images
        return np.ascontiguousarray(shaped, helper.tensor_dtype_to_np_dtype(self.type))


def find_image_inputs(model: ModelProto, file: str, requested_side: int | None) -> list[ImageInput]:
    """The interpretations that the declared shapes allow: one, or two where the layout is unclear.

    `file` is its name for messages. Raises ExportFailed for a graph that does not take square color
    images.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        named = ", ".join(value.name for value in inputs) or "none"
        raise ExportFailed(
            f"{file} has {len(inputs)} inputs ({named}); a classifier has one image input."
        )
    value = inputs[0]
    if value.name in {output.name for output in model.graph.output}:
        raise ExportFailed(f"{file} returns its input {value.name!r} as an output.")
    type_ = value.type.tensor_type.elem_type
    if type_ not in FLOAT_TYPES | INTEGER_TYPES:
        raise ExportFailed(
            f"{file} has the data type {_type_name(type_)} at its input {value.name!r}; supported "
            f"are float32, float16, float64, uint8, int32 and int64."
        )
    declared = value.type.tensor_type.shape.dim
    if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in declared):
        raise ExportFailed(
            f"{file} declares a dimension of 0 at its input {value.name!r}, so ONNX Runtime "
            f"accepts no image: export it with the shape (batch, 3, side, side)."
        )
    readings = [
        reading
        for layout in Layout
        if (reading := _read_input(value, layout, requested_side, type_)) is not None
    ]
    if not readings:
        raise ExportFailed(
            f"{file} has the shape {_shape_text(value)} at its input {value.name!r}; expected "
            f"square color images, (batch, 3, side, side) or (batch, side, side, 3)."
        )
    certain = [one for one in readings if _has_three_channels(value, one.layout)]
    return certain[:1] or readings


def _read_input(
    value: ValueInfoProto, layout: Layout, requested_side: int | None, type_: int
) -> ImageInput | None:
    if not value.type.tensor_type.HasField("shape"):
        return ImageInput(value.name, layout, requested_side or DEFAULT_SIDE, type_, None, True)
    shape = graph_io.shape_of(value)
    if len(shape) != 4:
        return None
    channels, sides = (shape[1], shape[2:]) if layout is Layout.NCHW else (shape[3], shape[1:3])
    fixed_sides = {side for side in sides if side is not None}
    if channels not in (CHANNELS, None) or len(fixed_sides) > 1:
        return None
    side = next(iter(fixed_sides), requested_side or DEFAULT_SIDE)
    return ImageInput(value.name, layout, side, type_, shape[0], side_is_open=not fixed_sides)


def _has_three_channels(value: ValueInfoProto, layout: Layout) -> bool:
    shape = graph_io.shape_of(value)
    return len(shape) == 4 and shape[1 if layout is Layout.NCHW else 3] == CHANNELS


def _shape_text(value: ValueInfoProto) -> str:
    shape = graph_io.shape_of(value)
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _type_name(type_: int) -> str:
    if type_ not in TensorProto.DataType.values():
        return f"type {type_}"
    return str(TensorProto.DataType.Name(type_)).lower() if type_ else "no tensor"


@dataclass(frozen=True, slots=True)
class ScoreOutput:
    """The output that holds one row of scores per image; `reason`: why it was chosen of several."""

    name: str
    shape: tuple[int, ...]
    type: np.dtype
    classes: int
    reason: str | None = None

    @property
    def is_integer(self) -> bool:
        """Whether scores are integers, as in models that end in a quantized layer."""
        return self.type.kind in "iu"


def find_score_output(
    model: ModelProto,
    values: Mapping[str, np.ndarray],
    images: int,
    file: str,
    requested: str | None = None,
    class_counts: Sequence[int] = (),
) -> ScoreOutput:
    """Finds the output that holds the scores, from the `values` of a run of `images` images.

    It is the `requested` one, else the only one that looks like scores, else the only one whose
    number of classes is among `class_counts` (those that fit the dataset). Raises ExportFailed
    where none or several remain.
    """
    names = ", ".join(values)
    if requested is not None and requested not in values:
        raise ExportFailed(f"{file} has no output {requested!r}; it has {names}.")
    shapes = {name: _classes_of(value, images) for name, value in values.items()}
    candidates = [requested] if requested is not None else list(values)
    score_like = [name for name in candidates if (shapes[name] or 0) >= 2]
    top_k = [name for name in score_like if _comes_from_topk(model, name)]
    score_like = [name for name in score_like if name not in top_k]
    if top_k and not score_like:
        raise ExportFailed(
            f"{file} returns the top {shapes[top_k[0]]} classes at {top_k[0]!r} (TopK), not one "
            f"score per class: export it with the input of TopK as its output."
        )
    if not score_like:
        raise ExportFailed(_no_scores_message(values, candidates, shapes, file))
    name, reason = score_like[0], None
    if requested is None and len(values) > 1:
        name, reason = _choose({one: values[one] for one in score_like}, images, file, class_counts)
    _require_declared_shape(model, name, values[name], file)
    value = values[name]
    return ScoreOutput(name, value.shape, value.dtype, int(shapes[name] or 0), reason)


def _classes_of(value: object, images: int) -> int | None:
    """Number of classes of an output with one row of numbers per image; None for other outputs."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        return None
    if images == 1 and value.ndim == 1:
        return int(value.size)
    if value.ndim < 2 or value.shape[0] != images:
        return None
    long = [size for size in value.shape[1:] if size != 1]
    return int(long[0]) if len(long) == 1 else 1 if not long else None


def _comes_from_topk(model: ModelProto, name: str) -> bool:
    """Whether an output comes from a TopK: sorted values, or their indices."""
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers.get(name)
    while node is not None and node.op_type in ("Cast", "Identity"):
        node = producers.get(node.input[0])
    return node is not None and node.op_type == "TopK"


def _choose(
    score_like: dict[str, np.ndarray], images: int, file: str, class_counts: Sequence[int]
) -> tuple[str, str | None]:
    if len(score_like) == 1:
        return next(iter(score_like)), "the only output with one row of scores per image"
    rows = {name: as_scores(value.reshape(images, -1)) for name, value in score_like.items()}
    matching = {name: row for name, row in rows.items() if row.shape[1] in class_counts}
    reason_text = "the output with the dataset's number of classes"
    if not matching:
        matching, reason_text = rows, "the logits of which the other output is the softmax"
    if len(matching) == 1:
        return next(iter(matching)), reason_text
    for name, row in matching.items():
        others = [other for candidate, other in matching.items() if candidate != name]
        shares = softmax(row)
        if all(
            other.shape == row.shape and np.allclose(other, shares, atol=1e-5) for other in others
        ):
            return name, "the logits of which the other output is the softmax"
    listed = ", ".join(f"{name} ({row.shape[1]} values)" for name, row in matching.items())
    raise ExportFailed(
        f"{file} has several outputs that could be the scores: {listed}. Select one with --output."
    )


def _no_scores_message(
    values: Mapping[str, np.ndarray],
    candidates: Sequence[str],
    shapes: Mapping[str, int | None],
    file: str,
) -> str:
    name = candidates[0]
    if shapes[name] == 1:
        return (
            f"{file} returns one score per image at {name!r}; a classifier returns at least two, "
            f"one per class."
        )
    outputs = [
        f"{one} {list(value.shape)} {value.dtype}"
        if isinstance(value, np.ndarray)
        else f"{one}, which is not a tensor"
        for one, value in ((one, values[one]) for one in candidates)
    ]
    return (
        f"{file} returns {'; '.join(outputs)} for one batch; expected one row of scores per image, "
        f"(batch, classes)."
    )


def _require_declared_shape(model: ModelProto, name: str, value: np.ndarray, file: str) -> None:
    declared = next(output for output in model.graph.output if output.name == name)
    if not declared.type.tensor_type.HasField("shape"):
        return
    shape = graph_io.shape_of(declared)
    differs = len(shape) != value.ndim or any(
        size is not None and size != actual
        for size, actual in zip(shape[1:], value.shape[1:], strict=True)
    )
    if shape and differs:
        raise ExportFailed(
            f"{file} declares its output {name!r} as {_shape_text(declared)}, but returns "
            f"{list(value.shape)}: the file is inconsistent; export it again."
        )

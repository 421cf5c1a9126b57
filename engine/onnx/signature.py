"""What a foreign classifier takes and gives: its image input, and which output holds the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from engine.common.scores import as_scores, softmax
from engine.errors import ExportFailed
from engine.onnx import graph_io

USUAL_SIDE = 224
CHANNELS = 3
WHOLE_NUMBERS = frozenset({TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64})
"""Inputs of these types take pixels from 0 to 255 as they are."""
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})
LARGEST_PIXEL = 255


class Layout(StrEnum):
    """The order of the dimensions of a batch of images."""

    NCHW = "NCHW"
    NHWC = "NHWC"


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One reading of a graph's image input; `batch` is None where any batch is declared.

    `side_is_open`: the file declares no side, and another one may be asked for.
    """

    name: str
    layout: Layout
    side: int
    type: int
    batch: int | None
    side_is_open: bool = False

    @property
    def takes_pixels(self) -> bool:
        """Whether it takes whole numbers from 0 to 255."""
        return self.type in WHOLE_NUMBERS

    @property
    def type_name(self) -> str:
        """`float32`, `uint8`, ..."""
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(self.type)))

    def feed(self, images: np.ndarray) -> np.ndarray:
        """Images (n, 3, side, side) float32 in the form that the original takes."""
        shaped = images.transpose(0, 2, 3, 1) if self.layout is Layout.NHWC else images
        return np.ascontiguousarray(shaped, helper.tensor_dtype_to_np_dtype(self.type))


def image_inputs(model: ModelProto, file: str, asked_side: int | None) -> list[ImageInput]:
    """The readings that a graph's declared shapes allow: one, or two where they do not tell.

    Raises ExportFailed for a graph that takes no square color images.
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
        raise ExportFailed(f"{file} gives its input {value.name!r} back as an output.")
    type_ = value.type.tensor_type.elem_type
    if type_ not in FLOATS | WHOLE_NUMBERS:
        raise ExportFailed(
            f"{file} takes {_type_name(type_)} values at its input {value.name!r}; images are "
            f"given as float32, float16, float64, uint8, int32 or int64."
        )
    declared = value.type.tensor_type.shape.dim
    if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in declared):
        raise ExportFailed(
            f"{file} declares a dimension of 0 at its input {value.name!r}, which ONNX Runtime "
            f"takes at its word, so that no image fits: export it with the shape (batch, 3, side, "
            f"side)."
        )
    found = [
        reading
        for layout in Layout
        if (reading := _reading(value, layout, asked_side, type_)) is not None
    ]
    if not found:
        raise ExportFailed(
            f"{file} takes {_shown(value)} at its input {value.name!r}; expected square color "
            f"images, (batch, 3, side, side) or (batch, side, side, 3)."
        )
    certain = [one for one in found if _has_three_channels(value, one.layout)]
    return certain[:1] or found


def _reading(
    value: ValueInfoProto, layout: Layout, asked_side: int | None, type_: int
) -> ImageInput | None:
    if not value.type.tensor_type.HasField("shape"):
        return ImageInput(value.name, layout, asked_side or USUAL_SIDE, type_, None, True)
    shape = graph_io.shape_of(value)
    if len(shape) != 4:
        return None
    channels, sides = (shape[1], shape[2:]) if layout is Layout.NCHW else (shape[3], shape[1:3])
    given = {side for side in sides if side is not None}
    if channels not in (CHANNELS, None) or len(given) > 1:
        return None
    side = next(iter(given), asked_side or USUAL_SIDE)
    return ImageInput(value.name, layout, side, type_, shape[0], side_is_open=not given)


def _has_three_channels(value: ValueInfoProto, layout: Layout) -> bool:
    shape = graph_io.shape_of(value)
    return len(shape) == 4 and shape[1 if layout is Layout.NCHW else 3] == CHANNELS


def _shown(value: ValueInfoProto) -> str:
    shape = graph_io.shape_of(value)
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _type_name(type_: int) -> str:
    if type_ not in TensorProto.DataType.values():
        return f"type {type_}"
    return str(TensorProto.DataType.Name(type_)).lower() if type_ else "no tensor"


@dataclass(frozen=True, slots=True)
class ScoreOutput:
    """The output that holds one row of scores an image; `why` says why it was chosen."""

    name: str
    shape: tuple[int, ...]
    type: np.dtype
    classes: int
    why: str | None = None

    @property
    def whole_numbers(self) -> bool:
        """Whether scores are integers, as networks give that end in a quantized layer."""
        return self.type.kind in "iu"


def score_output(
    model: ModelProto,
    values: Mapping[str, np.ndarray],
    images: int,
    file: str,
    asked: str | None = None,
    dataset_classes: Sequence[int] = (),
) -> ScoreOutput:
    """Which of the outputs holds the scores, by what a run of `images` images gave.

    One is taken by name (`asked`), because it alone looks like scores, or because it alone has as
    many classes as the dataset (`dataset_classes`: all counts that would fit). Raises ExportFailed.
    """
    names = ", ".join(values)
    if asked is not None and asked not in values:
        raise ExportFailed(f"{file} has no output {asked!r}; it has {names}.")
    shapes = {name: _classes_of(value, images) for name, value in values.items()}
    looked_at = [asked] if asked is not None else list(values)
    fitting = [name for name in looked_at if (shapes[name] or 0) >= 2]
    best = [name for name in fitting if _holds_best_only(model, name)]
    fitting = [name for name in fitting if name not in best]
    if best and not fitting:
        raise ExportFailed(
            f"{file} gives the {shapes[best[0]]} best of the classes at {best[0]!r} (TopK), not "
            f"one score for each class: export it with the scores that TopK reads."
        )
    if not fitting:
        raise ExportFailed(_no_scores(values, looked_at, shapes, file))
    name, why = fitting[0], None
    if asked is None and len(values) > 1:
        name, why = _choose({one: values[one] for one in fitting}, images, file, dataset_classes)
    _require_declared(model, name, values[name], file)
    value = values[name]
    return ScoreOutput(name, value.shape, value.dtype, int(shapes[name] or 0), why)


def _classes_of(value: object, images: int) -> int | None:
    """Classes of an output that is one row of numbers an image; None where it is not."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        return None
    if images == 1 and value.ndim == 1:
        return int(value.size)
    if value.ndim < 2 or value.shape[0] != images:
        return None
    long = [size for size in value.shape[1:] if size != 1]
    return int(long[0]) if len(long) == 1 else 1 if not long else None


def _holds_best_only(model: ModelProto, name: str) -> bool:
    """Whether an output comes out of a TopK: values in order, or their places."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers.get(name)
    while node is not None and node.op_type in ("Cast", "Identity"):
        node = makers.get(node.input[0])
    return node is not None and node.op_type == "TopK"


def _choose(
    fitting: dict[str, np.ndarray], images: int, file: str, dataset_classes: Sequence[int]
) -> tuple[str, str | None]:
    if len(fitting) == 1:
        return next(iter(fitting)), "the only output with one row of scores an image"
    rows = {name: as_scores(value.reshape(images, -1)) for name, value in fitting.items()}
    matching = {name: row for name, row in rows.items() if row.shape[1] in dataset_classes}
    said = "the output with the dataset's number of classes"
    if not matching:
        matching, said = rows, "the scores that the other output turns into probabilities"
    if len(matching) == 1:
        return next(iter(matching)), said
    for name, row in matching.items():
        others = [other for one, other in matching.items() if one != name]
        shares = softmax(row)
        if all(
            other.shape == row.shape and np.allclose(other, shares, atol=1e-5) for other in others
        ):
            return name, "the scores that the other output turns into probabilities"
    listed = ", ".join(f"{name} ({row.shape[1]} values)" for name, row in matching.items())
    raise ExportFailed(
        f"{file} has several outputs that could be the scores: {listed}. Name one with --output."
    )


def _no_scores(
    values: Mapping[str, np.ndarray],
    looked_at: Sequence[str],
    shapes: Mapping[str, int | None],
    file: str,
) -> str:
    name = looked_at[0]
    if shapes[name] == 1:
        return (
            f"{file} gives one score an image at {name!r}; a classifier gives at least two, one a "
            f"class."
        )
    given = [
        f"{one} {list(value.shape)} {value.dtype}"
        if isinstance(value, np.ndarray)
        else f"{one}, which is no tensor"
        for one, value in ((one, values[one]) for one in looked_at)
    ]
    return (
        f"{file} gives {'; '.join(given)} for one batch; expected one row of scores an image, "
        f"(batch, classes)."
    )


def _require_declared(model: ModelProto, name: str, value: np.ndarray, file: str) -> None:
    declared = next(one for one in model.graph.output if one.name == name)
    if not declared.type.tensor_type.HasField("shape"):
        return
    shape = graph_io.shape_of(declared)
    differs = len(shape) != value.ndim or any(
        size is not None and size != given
        for size, given in zip(shape[1:], value.shape[1:], strict=True)
    )
    if shape and differs:
        raise ExportFailed(
            f"{file} declares its output {name!r} as {_shown(declared)}, but gives "
            f"{list(value.shape)}: the file contradicts itself; export it again."
        )

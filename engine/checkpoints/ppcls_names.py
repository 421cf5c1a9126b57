"""The tensor names of PaddleClas' SE networks and their names in timm's ResNet.

PaddleClas has two names for a tensor: the structured one of .pdparams
(`bb_0_0.conv0._conv.weight`) and the parameter name of inference models
(`res2a_branch2a_weights`). Source: PaddleClas 2.6,
ppcls/arch/backbone/model_zoo/{se_resnet_vd,se_resnext,se_resnext_vd}.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

Shape = tuple[int, ...]


class Layout(StrEnum):
    """The layout of a tensor in Paddle, compared with torch."""

    SAME = "same"
    LINEAR = "linear"  # (in, out): transposed
    LINEAR_AS_CONV = "linear_as_conv"  # (in, out), a 1x1 convolution (out, in, 1, 1) in timm


@dataclass(frozen=True, slots=True)
class TensorNames:
    """One tensor: its two Paddle names, its name in timm's ResNet, and its layout."""

    structured: str
    parameter: str
    timm: str
    layout: Layout = Layout.SAME


@dataclass(frozen=True, slots=True)
class PaddleModel:
    """The arguments of a PaddleClas class. Widths are in channels; stem_width 0: one 7x7 conv."""

    depths: tuple[int, int, int, int]
    convs_per_block: int = 3
    cardinality: int = 1
    base_width: int = 64
    stem_width: int = 0
    resnext_names: bool = True
    first_stage: int = 2  # the number of the first stage in parameter names

    @property
    def is_vd(self) -> bool:
        """Whether it is a vd variant: three 3x3 convolutions in the stem, pooled shortcuts."""
        return self.stem_width > 0


ARCHITECTURES = {
    "SE_ResNet18_vd": PaddleModel((2, 2, 2, 2), 2, stem_width=32, resnext_names=False),
    "SE_ResNet34_vd": PaddleModel((3, 4, 6, 3), 2, stem_width=32, resnext_names=False),
    "SE_ResNet50_vd": PaddleModel((3, 4, 6, 3), stem_width=32, resnext_names=False),
    "SENet154_vd": PaddleModel(
        (3, 8, 36, 3), cardinality=64, base_width=4, stem_width=64, first_stage=4
    ),
    "SE_ResNeXt50_32x4d": PaddleModel((3, 4, 6, 3), cardinality=32, base_width=4),
    "SE_ResNeXt50_vd_32x4d": PaddleModel((3, 4, 6, 3), cardinality=32, base_width=4, stem_width=64),
    "SE_ResNeXt101_32x4d": PaddleModel((3, 4, 23, 3), cardinality=32, base_width=4),
}


CLASSIFIER = "fc6_"
# Number of dimensions of each kind of tensor.
_CONVOLUTION, _LINEAR, _VECTOR = 4, 2, 1


def names_by_shapes(shapes: Sequence[Shape]) -> list[str] | None:
    """Returns the sorted parameter names of the architecture with these shapes, or None.

    `shapes` are Paddle's, sorted by parameter name; the number of classes is ignored. A network is
    built (which imports timm) only if the number of tensors and their dimensions fit.
    """
    ranks = [len(shape) for shape in shapes]
    for architecture in ARCHITECTURES:
        expected = sorted(tensor_names(architecture), key=lambda entry: entry.parameter)
        if [_rank(entry) for entry in expected] == ranks and _same(architecture, expected, shapes):
            return [entry.parameter for entry in expected]
    return None


def _rank(entry: TensorNames) -> int:
    if entry.layout != Layout.SAME:
        return _LINEAR
    return _CONVOLUTION if entry.parameter.endswith("_weights") else _VECTOR


def _same(architecture: str, expected: Sequence[TensorNames], shapes: Sequence[Shape]) -> bool:
    from engine.checkpoints.registry import expected_shapes

    timm_shapes = expected_shapes("ppcls", architecture).tensors
    for entry, shape in zip(expected, shapes, strict=True):
        expected_shape = timm_shapes[entry.timm]
        if entry.layout != Layout.SAME:
            expected_shape = (expected_shape[1], expected_shape[0])
        if entry.parameter.startswith(CLASSIFIER):
            expected_shape, shape = expected_shape[:-1], shape[:-1]
        if expected_shape != shape:
            return False
    return True


@lru_cache(maxsize=len(ARCHITECTURES))
def tensor_names(architecture: str) -> tuple[TensorNames, ...]:
    """All tensors of an architecture, in no particular order."""
    model = ARCHITECTURES[architecture]
    tensors = list(_stem(model))
    for stage, depth in enumerate(model.depths):
        for block in range(depth):
            tensors += _block(model, stage, block)
    tensors.append(TensorNames("out.weight", "fc6_weights", "fc.weight", Layout.LINEAR))
    tensors.append(TensorNames("out.bias", "fc6_offset", "fc.bias"))
    return tuple(tensors)


def _stem(model: PaddleModel) -> Iterator[TensorNames]:
    if not model.is_vd:
        yield from _conv_bn("conv", "conv1", "conv1_bn", "conv1", "bn1")
        return
    for index, bn in enumerate(("conv1.1", "conv1.4", "bn1")):
        name = f"conv1_{index + 1}"
        parameter_bn = f"{name}_bn" if model.resnext_names else f"bnv1_{index + 1}"
        yield from _conv_bn(name, name, parameter_bn, f"conv1.{3 * index}", bn)


def _block(model: PaddleModel, stage: int, block: int) -> Iterator[TensorNames]:
    paddle, timm = f"bb_{stage}_{block}", f"layer{stage + 1}.{block}"
    for conv in range(model.convs_per_block):
        names = _parameter_names(model, stage, block, conv)
        yield from _conv_bn(
            f"{paddle}.conv{conv}", *names, f"{timm}.conv{conv + 1}", f"{timm}.bn{conv + 1}"
        )
    if block == 0:
        names = _parameter_names(model, stage, block, None)
        first = 1 if model.is_vd else 0  # the pooling comes before the projection
        conv_name, bn_name = f"{timm}.downsample.{first}", f"{timm}.downsample.{first + 1}"
        yield from _conv_bn(f"{paddle}.short", *names, conv_name, bn_name)
    yield from _squeeze_excite(model, stage, block)


def _parameter_names(
    model: PaddleModel, stage: int, block: int, conv: int | None
) -> tuple[str, str]:
    """Parameter names of a convolution and its batch norm; `conv` None: the shortcut."""
    unit = _unit(model, stage, block)
    if model.resnext_names:
        name = f"conv{unit}_prj" if conv is None else f"conv{unit}_x{conv + 1}"
        return name, f"{name}_bn"
    branch = "branch1" if conv is None else f"branch2{'abc'[conv]}"
    return f"res{unit}_{branch}", f"bn{unit}_{branch}"


def _unit(model: PaddleModel, stage: int, block: int) -> str:
    number = model.first_stage + stage
    return f"{number}_{block + 1}" if model.resnext_names else f"{number}{chr(ord('a') + block)}"


def _conv_bn(
    structured: str, conv: str, bn: str, timm_conv: str, timm_bn: str
) -> Iterator[TensorNames]:
    yield TensorNames(f"{structured}._conv.weight", f"{conv}_weights", f"{timm_conv}.weight")
    for paddle, parameter, timm in (
        ("weight", "scale", "weight"),
        ("bias", "offset", "bias"),
        ("_mean", "mean", "running_mean"),
        ("_variance", "variance", "running_var"),
    ):
        yield TensorNames(
            f"{structured}._batch_norm.{paddle}", f"{bn}_{parameter}", f"{timm_bn}.{timm}"
        )


def _squeeze_excite(model: PaddleModel, stage: int, block: int) -> Iterator[TensorNames]:
    unit = _unit(model, stage, block)
    prefix = f"fc{unit}" if model.resnext_names else f"fc_res{unit}"
    for layer, short, timm in (("squeeze", "sqz", "fc1"), ("excitation", "exc", "fc2")):
        structured = f"bb_{stage}_{block}.scale.{layer}"
        target = f"layer{stage + 1}.{block}.se.{timm}"
        yield TensorNames(
            f"{structured}.weight",
            f"{prefix}_{short}_weights",
            f"{target}.weight",
            Layout.LINEAR_AS_CONV,
        )
        yield TensorNames(f"{structured}.bias", f"{prefix}_{short}_offset", f"{target}.bias")

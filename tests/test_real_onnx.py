"""The real SE network as torch's exporters write it: every opset, fixed and open batch."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from db.enums import Precision
from engine.specs import ExportSpec
from tests.support.real_photographs import counts, spec_of

pytestmark = pytest.mark.real

HALVES = {"resize": 256, "crop": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
SIDE = 224
FP32, INT8_AT_LEAST, FP16_AT_LEAST = (803, 949), 785, 800
OLD = [(opset, dynamo, batch) for opset in (9, 11, 12, 13, 15, 17, 18, 21)
       for dynamo in (False,) for batch in ("fixed", "open")]  # fmt: skip
NEW = [(opset, True, batch) for opset in (18, 20, 21) for batch in ("fixed", "open")]


def written(real_data: Path, path: Path, opset: int, dynamo: bool, batch: str) -> ExportSpec:
    """Exports the network without help, and gives the spec that takes the file in."""
    import timm
    import torch
    from safetensors.torch import load_file
    from timm.layers import Conv2dSame

    name = "tf_mobilenetv3_small_100"
    model = timm.create_model(name)
    model.load_state_dict(load_file(real_data / "weights" / f"{name}.safetensors"))
    model.eval()
    if opset == 9:  # it has no computed pads: those of a side of 224 are the same everywhere
        for module in list(model.modules()):
            for key, layer in list(module.named_children()):
                if isinstance(layer, Conv2dSame):
                    setattr(module, key, _with_constant_pads(layer))
    opened = {"x": {0: "b"}, "y": {0: "b"}} if batch == "open" else None
    shapes = ({0: torch.export.Dim("b")},) if batch == "open" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIDE, SIDE),),
            str(path),
            dynamo=dynamo,
            opset_version=opset,
            **(
                {"dynamic_shapes": shapes, "verbose": False}
                if dynamo
                else {"dynamic_axes": opened, "input_names": ["x"], "output_names": ["y"]}
            ),
        )
    return spec_of("onnx/written", path, preprocess=HALVES)


def _with_constant_pads(layer: object) -> object:
    """All layers that stride halve an even side: one pixel less in front than behind."""
    from torch import nn

    assert isinstance(layer, nn.Conv2d)
    assert layer.stride == (2, 2)
    front = (layer.kernel_size[0] - 2) // 2
    behind = layer.kernel_size[0] - 2 - front
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    plain.load_state_dict(layer.state_dict())
    return nn.Sequential(nn.ConstantPad2d((front, behind, front, behind), 0.0), plain)


@pytest.fixture
def spec(request: pytest.FixtureRequest, tmp_path: Path, real_data: Path) -> ExportSpec:
    """What takes in the file of one exporter: (opset, dynamo, batch)."""
    return written(real_data, tmp_path / "net.onnx", *request.param)


@pytest.mark.parametrize(
    "spec", [(11, False, "fixed"), (21, True, "fixed")], indirect=True, ids=str
)
def test_two_of_the_exports_in_fp32_and_int8(
    url: str, tmp_path: Path, photographs: str, spec: ExportSpec
) -> None:
    assert counts(url, tmp_path / "fp32", spec) == FP32
    top1, _ = counts(url, tmp_path / "int8", spec, Precision.INT8)
    assert top1 >= INT8_AT_LEAST


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("spec", OLD + NEW, indirect=True, ids=str)
def test_every_export_in_every_precision(
    url: str, tmp_path: Path, photographs: str, spec: ExportSpec
) -> None:
    assert counts(url, tmp_path / "fp32", spec) == FP32
    assert counts(url, tmp_path / "fp16", spec, Precision.FP16)[0] >= FP16_AT_LEAST
    assert counts(url, tmp_path / "int8", spec, Precision.INT8)[0] >= INT8_AT_LEAST

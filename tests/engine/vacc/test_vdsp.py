"""vdsp parameters: three generations, one meaning; each value against plain arithmetic."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.errors import VaccFileInvalid
from engine.preprocess import PreprocessSpec, ResizeMode, Resizer, preprocess
from engine.vacc.vdsp import half_float_from_bits, parse_vdsp, read_vdsp

MEAN = (0.485107421875, 0.4560546875, 0.406005859375)
STD = (0.22900390625, 0.2239990234375, 0.2249755859375)
MEAN_BITS, STD_BITS = (14275, 14156, 13951), (13140, 13099, 13107)


def third(**changes: Any) -> dict[str, Any]:
    config = {
        "IimageFormat": "RGB_PLANAR",
        "IimageWidth": 256,
        "IimageHeight": 256,
        "OimageWidth": 224,
        "OimageHeight": 224,
        "CropX": 16,
        "CropY": 16,
        "ResizeWidth": 256,
        "ResizeHeight": 256,
        "IimageWidthPitch": 256,
        "IimageHeightPitch": 256,
        "Mean": list(MEAN),
        "Std": list(STD),
        "NormaType": "DIV255_MINUSMEAN_DIVSTD",
        "ColorCvtCode": "NO_CHANGE",
        "ResizeType": "BILINEAR_CV",
    }
    config = {k: v for k, v in {**config, **changes}.items() if v is not None}
    return {"OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR", "OpConfig": config}


def flat(**changes: Any) -> dict[str, Any]:
    bits = dict(zip(("meanr", "meang", "meanb"), MEAN_BITS, strict=True))
    bits |= dict(zip(("stdr", "stdg", "stdb"), STD_BITS, strict=True))
    sizes = {"short_edge_threshold": 256, "crop_size": 224}
    sizes |= {"iimage_width": 256, "iimage_height": 256}
    return {**sizes, **bits, **changes}


def second(**changes: Any) -> dict[str, Any]:
    words = {
        "iimage_format": "RGB_PLANAR",
        "norma_type": "DIV255_MINUSMEAN_DIVSTD",
        "resize_type": "BILINEAR_CV",
        "color_cvt_code": "COLOR_NO_CHANGE",
        "color_space": "COLOR_SPACE_BT709",
    }
    listed = [
        {"Property": name, "DType": "INT", "ParamType": "ELEMENT", "Value": value}
        for name, value in flat(**{**words, **changes}).items()
    ]
    op = "RGB_RESIZE_CVTCOLOR_CROP_NORMALIZATION_TENSORIZATION_U8"
    return {"vdsp_op_type": op, "config": listed}


def first(**changes: Any) -> dict[str, Any]:
    numbers = {"vdsp_op_type": 300, "iimage_format": 5000, "resize_type": 1}
    numbers |= {"color_cvt_code": 2, "color_space": 0, "norma_type": 4}
    return flat(**{**numbers, **changes})


def test_the_three_generations_mean_the_same() -> None:
    found = [parse_vdsp(plain, "p.json") for plain in (first(), second(), third())]
    assert [one.generation for one in found] == [1, 2, 3]
    expected = PreprocessSpec(
        resize=256,
        resize_mode=ResizeMode.SQUASH,
        crop=224,
        resizer=Resizer.OPENCV,
        mean=MEAN,
        std=STD,
    )
    assert {one.spec for one in found} == {expected}


@pytest.mark.parametrize("bits", [*MEAN_BITS, *STD_BITS, 22459, 0, 1, 15360])
def test_half_floats_by_their_bits(bits: int) -> None:
    assert half_float_from_bits(bits) == struct.unpack("<e", struct.pack("<H", bits))[0]


def photograph(wide: int = 61, high: int = 47) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (high, wide, 3)).astype(np.uint8)


NORMS = {
    "DIV255_MINUSMEAN_DIVSTD": lambda x, m, s: (x / 255 - m) / s,
    "MINUSMEAN_DIVSTD": lambda x, m, s: (x - m) / s,
    "EQUAL": lambda x, m, s: x,
    "DIV255": lambda x, m, s: x / 255,
}
COLORS = {"NO_CHANGE": slice(None), "RGB2BGR": slice(None, None, -1)}
COLORS["BGR2RGB"] = COLORS["RGB2BGR"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("resizer", ["BILINEAR_CV", "BILINEAR_PILLOW"])
def test_each_value_against_plain_arithmetic(norm: str, color: str, resizer: str) -> None:
    white = 255 if norm == "MINUSMEAN_DIVSTD" else 1
    mean, std = np.array([0.4, 0.5, 0.6]) * white, np.array([0.2, 0.3, 0.4]) * white
    spec = parse_vdsp(
        third(
            Mean=mean.tolist(),
            Std=std.tolist(),
            NormaType=norm,
            ColorCvtCode=color,
            ResizeType=resizer,
            **{"ResizeWidth": 40, "ResizeHeight": 40, "OimageWidth": 31, "OimageHeight": 31},
            **{"CropX": 4, "CropY": 4},
        ),
        "p.json",
    ).spec
    pixels = photograph()
    if resizer == "BILINEAR_CV":
        resized = cv2.resize(pixels, (40, 40), interpolation=cv2.INTER_LINEAR)
    else:
        image = Image.fromarray(pixels).resize((40, 40), Image.Resampling.BILINEAR)
        resized = np.asarray(image)
    cropped = resized[4:35, 4:35].astype(np.float64)[..., COLORS[color]]
    expected = NORMS[norm](cropped, mean, std).transpose(2, 0, 1)
    given = preprocess(Image.fromarray(pixels), spec)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_without_a_crop_the_output_is_the_resize() -> None:
    plain = third(ResizeWidth=None, ResizeHeight=None, CropX=None, CropY=None)
    plain["OpType"] = "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR"
    spec = parse_vdsp(plain, "p.json").spec
    assert (spec.resize, spec.crop) == (224, 224)


def test_a_file_without_sizes_takes_those_of_the_build() -> None:
    left_out = ("OimageWidth", "OimageHeight", "ResizeWidth", "ResizeHeight", "CropX", "CropY")
    plain = third(**dict.fromkeys(left_out))
    found = parse_vdsp(plain, "p.json", PreprocessSpec(resize=288, crop=256))
    assert (found.spec.resize, found.spec.crop) == (288, 256)
    assert "resize 288, crop 256" in found.remarks[0]
    with pytest.raises(VaccFileInvalid, match="has no sizes"):
        parse_vdsp(plain, "p.json")


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        (third(NormaType="DIV128"), "NormaType is 'DIV128'; allowed: DIV255_MINUSMEAN_DIVSTD"),
        (third(ColorCvtCode="YUV2RGB"), "ColorCvtCode is 'YUV2RGB'; allowed: NO_CHANGE"),
        (third(ResizeType="NEAREST"), "ResizeType is 'NEAREST'; allowed: BILINEAR_CV"),
        (third(IimageFormat="BGR888"), "IimageFormat is 'BGR888'; allowed: RGB_PLANAR"),
        (third(ResizeWidth=300), "resizes to 300 x 256"),
        (third(CropX=0, CropY=0), "CropX, CropY is 0, 0; allowed: 16, 16"),
        (third(Mean=[1, 2]), "Mean is .1, 2.; allowed: three numbers"),
        (third(Mean=None), "needs Mean and Std"),
        (third(Std=[1, 0, 1]), "must be above zero"),
        (first(norma_type=9), "norma_type is '9'; allowed: 3, 4"),
        (first(meanr=70000), "bits of a half float"),
        (second(crop_size="x"), "crop_size is 'x'"),
        ({"OpType": "BERT_EMBEDDING_OP"}, "OpType is 'BERT_EMBEDDING_OP'; allowed: FUSION_OP"),
        ([], "neither OpType nor vdsp_op_type"),
    ],
)
def test_what_is_wrong_is_refused(plain: Any, sentence: str) -> None:
    with pytest.raises(VaccFileInvalid, match=sentence):
        parse_vdsp(plain, "p.json")


def test_files_that_are_no_json(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(VaccFileInvalid, match=r"p\.json cannot be read: No such file"):
        read_vdsp(path)
    for text in ("{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(VaccFileInvalid, match=r"p\.json cannot be read: it is not JSON"):
            read_vdsp(path)
    path.write_text(json.dumps(third()))
    assert read_vdsp(path).spec.resize == 256

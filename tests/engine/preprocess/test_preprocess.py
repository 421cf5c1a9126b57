from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.datasets.folder import default_loader

from engine.errors import ImageRejected, InvalidRequest
from engine.preprocess import (
    MAX_PIXELS,
    Color,
    Interpolation,
    PreprocessSpec,
    ResizeMode,
    Resizer,
    crop_pixels,
    normalize,
    normalize_planar,
    open_image,
    preprocess,
)
from tests.support.images import encoded, noise, photo, png_of_size, torchvision_transform

CV2_MODES = {Interpolation.BILINEAR: cv2.INTER_LINEAR, Interpolation.BICUBIC: cv2.INTER_CUBIC}
SIZES = [(1, 1), (1, 9), (7, 1), (31, 33), (64, 64), (65, 64), (97, 71), (40, 113), (64, 1500)]


def assert_equals_torchvision(image: Image.Image, spec: PreprocessSpec) -> None:
    expected = torchvision_transform(spec)(image).numpy()
    found = preprocess(image, spec)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("mode", ResizeMode)
def test_pillow_equals_torchvision_bit_for_bit(
    size: tuple[int, int], interpolation: Interpolation, mode: ResizeMode
) -> None:
    image = photo(*size)
    for resize, crop in [(32, 28), (33, 28), (64, 64), (28, 33), (57, 31), (20, 47), (None, 45)]:
        spec = PreprocessSpec(resize, mode, crop, interpolation)
        assert_equals_torchvision(image, spec)


def test_every_pixel_level_is_normalized_as_torch_does_it() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    for mean, std in [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((0, 0, 0), (1, 1, 1)),
        ((0.1, -0.7, 1.3), (0.003, 17.1, 0.999)),
    ]:
        spec = PreprocessSpec(resize=None, crop=16, mean=mean, std=std)
        assert_equals_torchvision(Image.fromarray(levels), spec)


def color_variants() -> dict[str, bytes]:
    """The same scene as files of every kind that ImageFolder meets."""
    image = photo(61, 47)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to show
    palette = image.quantize(64)
    palette.info["transparency"] = 3
    rgba = Image.fromarray(noise(61, 47, 4), "RGBA")
    frames = [photo(61, 47).quantize(32), Image.new("P", (61, 47))]
    return {
        "jpeg": encoded(image, "JPEG", quality=90),
        "gray jpeg": encoded(image.convert("L"), "JPEG"),
        "cmyk jpeg": encoded(Image.fromarray(noise(61, 47, 4), "CMYK"), "JPEG"),
        "exif-rotated jpeg": encoded(image, "JPEG", exif=exif),
        "jpeg with an ICC profile": encoded(image, "JPEG", icc_profile=b"not a profile"),
        "progressive jpeg": encoded(image, "JPEG", progressive=True),
        "png": encoded(image, "PNG"),
        "rgba png": encoded(rgba, "PNG"),
        "gray-alpha png": encoded(rgba.convert("LA"), "PNG"),
        "bilevel png": encoded(image.convert("1"), "PNG"),
        "palette png with transparency": encoded(palette, "PNG"),
        "animated gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "webp": encoded(rgba, "WEBP"),
        "bmp": encoded(image, "BMP"),
        "tiff": encoded(image, "TIFF"),
    }


@pytest.mark.parametrize("kind", color_variants())
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_decoding_equals_the_imagefolder_loader(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(color_variants()[kind])
    expected = default_loader(str(path))
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        found = open_image(source)
        assert found.mode == "RGB"
        assert found.size == expected.size == (61, 47)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert_equals_torchvision(found, PreprocessSpec(resize=40, crop=36))


def deep_gray(levels: np.ndarray, kind: str) -> bytes:
    """16-bit gray levels as a file, by the encoder of OpenCV or, where it has none, of Pillow."""
    if kind in (".png", ".tiff"):
        return cv2.imencode(kind, levels)[1].tobytes()
    if kind == "big endian":
        data = levels.astype(">u2").tobytes()
        return encoded(Image.frombytes("I;16B", levels.shape[::-1], data), "TIFF")
    if kind == "pgm":
        return b"P5 %d %d 65535\n" % levels.shape[::-1] + levels.astype(">u2").tobytes()
    inverted = Image.fromarray(65535 - levels)
    return encoded(inverted, "TIFF", tiffinfo={262: 0})


@pytest.mark.parametrize("kind", [".png", ".tiff", "big endian", "pgm", "white is zero"])
@pytest.mark.parametrize("resizer", Resizer)
def test_gray_of_16_bits_keeps_its_brightness(kind: str, resizer: Resizer, tmp_path: Path) -> None:
    levels = (noise(61, 47, 1)[..., 0].astype(np.uint16) << 8) + 77
    data = deep_gray(levels, kind)
    (tmp_path / "deep.tif").write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(deep_gray(levels, ".png"), np.uint8), cv2.IMREAD_COLOR)
    for source in (data, tmp_path / "deep.tif"):
        found = open_image(source)
        np.testing.assert_array_equal(np.asarray(found), expected)
    spec = PreprocessSpec(40, crop=36, resizer=resizer)
    same = preprocess(Image.fromarray(expected), spec)
    np.testing.assert_array_equal(preprocess(found, spec), same)
    if kind == ".png":
        np.testing.assert_array_equal(preprocess(Image.fromarray(levels), spec), same)


def test_the_12_bits_of_a_tiff_are_all_of_its_white() -> None:
    values = [0, 1024, 2048, 4095]
    pairs = zip(values[::2], values[1::2], strict=True)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    entries = b"".join(
        struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in [*tags, (279, 6)]
    )
    file = b"II*\0" + struct.pack("<I", 14) + packed + struct.pack("<H", 9) + entries + bytes(4)
    assert np.asarray(open_image(file))[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize(
    ("levels", "what"),
    [
        (np.arange(48, dtype=np.int32).reshape(6, 8) * 1000, "32-bit integers"),
        (np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8), "floating-point numbers"),
        (np.linspace(0, 1, 48).reshape(6, 8), "not integers of at most 16 bits"),
        (np.linspace(0, 1, 144, dtype=np.float32).reshape(6, 8, 3), "not integers of at most"),
    ],
)
def test_images_that_do_not_say_what_white_is_are_refused(levels: np.ndarray, what: str) -> None:
    data = cv2.imencode(".tiff", levels)[1].tobytes()
    with pytest.raises(ImageRejected, match=rf"^deep\.tif .*{what}.*; save it as an 8-bit or"):
        open_image(data, "deep.tif")


# Image size, short side and what PaddleClas' `round(side * percent)` makes of it, by hand. The last
# three differ from torchvision, which drops the fraction of the long side: 43, 62 and 62.
PADDLECLAS_SIZES = [
    ((1, 1), 32, (32, 32)),
    ((1, 9), 33, (33, 297)),
    ((500, 375), 256, (341, 256)),
    ((71, 125), 32, (32, 56)),
    ((97, 71), 32, (44, 32)),
    ((97, 71), 46, (63, 46)),
    ((31, 61), 32, (32, 63)),
]


@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize(("size", "side", "resized"), PADDLECLAS_SIZES)
def test_opencv_equals_cv2_at_the_size_and_crop_of_paddleclas(
    size: tuple[int, int], side: int, resized: tuple[int, int], interpolation: Interpolation
) -> None:
    image = photo(*size)
    whole = cv2.resize(np.asarray(image), resized, interpolation=CV2_MODES[interpolation])
    for crop in (side, side - 1, side - 3):
        spec = PreprocessSpec(side, ResizeMode.SHORT_SIDE, crop, interpolation, Resizer.OPENCV)
        left, top = ((length - crop) // 2 for length in resized)
        expected = whole[top : top + crop, left : left + crop]
        np.testing.assert_array_equal(crop_pixels(image, spec), expected)


def test_opencv_squash_equals_cv2() -> None:
    image = photo(97, 71)
    spec = PreprocessSpec(48, ResizeMode.SQUASH, 48, resizer=Resizer.OPENCV)
    np.testing.assert_array_equal(crop_pixels(image, spec), cv2.resize(np.asarray(image), (48, 48)))


def test_the_two_resizers_differ_where_they_shrink() -> None:
    image = photo(97, 71)
    pillow, opencv = (crop_pixels(image, PreprocessSpec(32, crop=28, resizer=r)) for r in Resizer)
    assert np.abs(pillow.astype(int) - opencv).mean() > 3


def test_opencv_pads_a_small_image_with_zeros_too() -> None:
    spec = PreprocessSpec(resize=None, crop=9, resizer=Resizer.OPENCV)
    pixels = crop_pixels(Image.new("RGB", (4, 3), (255, 255, 255)), spec)
    inside = np.zeros((9, 9), bool)
    inside[3:6, 2:6] = True
    assert (pixels == 255).all(-1).tolist() == inside.tolist()
    assert not pixels[~inside].any()


def test_crop_pixels_are_what_the_network_sees() -> None:
    image, spec = photo(70, 50), PreprocessSpec(40, crop=36)
    pixels = crop_pixels(image, spec)
    assert pixels.shape == (36, 36, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(normalize(pixels, spec), preprocess(image, spec))


def test_normalize_keeps_leading_dimensions() -> None:
    spec = PreprocessSpec()
    batch = noise(30, 20).reshape(2, 5, 4, 15, 3)
    found = normalize(batch, spec)
    assert found.shape == (2, 5, 3, 4, 15)
    for i, j in itertools.product(range(2), range(5)):
        np.testing.assert_array_equal(found[i, j], normalize(batch[i, j], spec))


@pytest.mark.parametrize("color", Color)
def test_planar_pixels_are_normalized_to_the_same_bits(color: Color) -> None:
    spec = PreprocessSpec(color=color)
    pixels = np.stack([noise(31, 17), noise(31, 17)[::-1]])
    planar = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    found = normalize_planar(planar, spec)
    np.testing.assert_array_equal(found.view(np.uint32), normalize(pixels, spec).view(np.uint32))
    with pytest.raises(TypeError, match="uint8"):
        normalize_planar(pixels, spec)


def test_bgr_swaps_channels_and_takes_mean_and_std_in_its_own_order() -> None:
    image = photo(30, 30)
    bgr = PreprocessSpec(30, crop=30, color=Color.BGR, mean=(0.4, 0.5, 0.6), std=(1, 2, 3))
    rgb = dataclasses.replace(bgr, color=Color.RGB, mean=(0.6, 0.5, 0.4), std=(3, 2, 1))
    np.testing.assert_array_equal(preprocess(image, bgr), preprocess(image, rgb)[::-1])
    np.testing.assert_array_equal(crop_pixels(image, bgr), crop_pixels(image, rgb))


def test_scale_one_feeds_raw_levels() -> None:
    spec = PreprocessSpec(None, crop=8, scale=1, mean=(104, 117, 124), std=(1, 1, 1))
    image = photo(8, 8)
    expected = (
        np.asarray(image, np.float32).transpose(2, 0, 1) - np.float32(spec.mean)[:, None, None]
    )
    np.testing.assert_array_equal(preprocess(image, spec), expected)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 3), np.uint8)]
)
def test_normalize_refuses_other_arrays(pixels: np.ndarray) -> None:
    with pytest.raises(TypeError, match="uint8"):
        normalize(pixels, PreprocessSpec())


@pytest.mark.parametrize("side", [9_000, 9_500, 20_000, 2**31 - 1])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageRejected, match=r"bomb\.png is too large.*80,000,000"):
        open_image(png_of_size(side, side), "bomb.png")


def test_an_elongated_image_is_refused_before_it_is_resized() -> None:
    with pytest.raises(ImageRejected, match="too elongated"):
        crop_pixels(Image.new("RGB", (1, 400_000)), PreprocessSpec())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_file_cut_short_is_refused(kind: str, tmp_path: Path) -> None:
    whole = encoded(photo(120, 90), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageRejected, match=r"^cut\.img .*\.$"):
        open_image(path)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"label,text\n", "not an image of a supported format"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "not an image of a supported format",
        ),
        (b"\x89PNG\r\n\x1a\n", "photo"),
        (encoded(Image.new("RGB", (3, 3)), "ICO"), "not an image of a supported format"),
    ],
)
def test_what_is_no_image_gives_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(ImageRejected, match=reason) as caught:
        open_image(data, "photo.jpg")
    text = str(caught.value)
    assert text.startswith("photo.jpg ")
    assert "\n" not in text


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageRejected, match=r"none\.jpg cannot be read"):
        open_image(tmp_path / "none.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ImageRejected, match=r"folder\.jpg cannot be read"):
        open_image(tmp_path / "folder.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_are_decoded_or_refused_never_anything_else(kind: str) -> None:
    rng = np.random.default_rng(3)
    whole = np.frombuffer(encoded(photo(23, 17), kind), np.uint8)
    refused = 0
    for _ in range(150):
        damaged = whole.copy()
        damaged[rng.integers(0, min(whole.size, 400), 6)] = rng.integers(0, 256, 6)
        try:
            assert open_image(damaged.tobytes()).mode == "RGB"
        except ImageRejected:
            refused += 1
    assert refused


SPECS = [
    PreprocessSpec(),
    PreprocessSpec(None, crop=96, color=Color.BGR),
    PreprocessSpec(320, ResizeMode.SQUASH, 320, Interpolation.BICUBIC, Resizer.OPENCV, 1.0),
    PreprocessSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_survives_json_with_its_digest(spec: PreprocessSpec) -> None:
    again = PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.digest() == spec.digest()
    assert all(
        type(value) in (int, float, str, list, type(None)) for value in spec.to_dict().values()
    )


def test_each_setting_changes_the_digest_and_writing_style_does_not() -> None:
    base = PreprocessSpec()
    changes: dict[str, Any] = {
        "resize": 255,
        "resize_mode": "squash",
        "crop": 225,
        "interpolation": "bicubic",
        "resizer": "opencv",
        "scale": 1.0,
        "mean": (0.485, 0.456, 0.4061),
        "std": (0.229, 0.224, 0.2251),
        "color": "bgr",
    }
    assert set(changes) == set(base.to_dict())
    digests = {dataclasses.replace(base, **{key: value}).digest() for key, value in changes.items()}
    assert len(digests | {base.digest()}) == len(changes) + 1
    assert (
        PreprocessSpec(mean=(0, 0, 0), std=(1, 1, 1)).digest()
        == PreprocessSpec.from_dict({"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}).digest()
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resize", 0),
        ("resize", 256.0),
        ("resize", "256"),
        ("resize", 10**9),
        ("crop", None),
        ("crop", True),
        ("crop", -1),
        ("resize_mode", "long_side"),
        ("interpolation", "nearest"),
        ("interpolation", 2),
        ("resizer", "PIL"),
        ("color", None),
        ("color", ["rgb"]),
        ("scale", 0),
        ("scale", math.nan),
        ("scale", 1e-320),
        ("mean", [0.5, 0.5]),
        ("mean", 0.5),
        ("mean", "abc"),
        ("mean", [0.5, 0.5, math.inf]),
        ("mean", [0.5, 0.5, 10**400]),
        ("mean", [0.5, 0.5, True]),
        ("std", [0.2, 0.2, 0]),
        ("std", [0.2, 0.2, -0.2]),
        ("std", [0.2, 0.2, 1e-46]),
        ("std", None),
        ("crop_pct", 0.875),
        ("", 1),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PreprocessSpec.from_dict({key: value})
    assert (key or "''") in str(caught.value)


def test_summary_says_what_is_done() -> None:
    assert PreprocessSpec().summary() == (
        "short side 256 bilinear (pillow), center crop 224, "
        "mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    assert SPECS[1].summary().startswith("no resize, center crop 96, ")
    assert SPECS[1].summary().endswith(", channels BGR")
    assert SPECS[2].summary().startswith("squashed to 320 x 320 bicubic (opencv), ")
    assert SPECS[2].summary().endswith(", scale 1")


@pytest.mark.real
def test_real_photographs_equal_timm_bit_for_bit() -> None:
    folder = os.environ.get("SENET_REAL_DATA")
    if not folder:
        pytest.skip("SENET_REAL_DATA is not set")
    from timm.data import create_transform

    transform = create_transform(
        (3, 224, 224), interpolation="bilinear", crop_pct=0.875, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    spec = PreprocessSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    photographs = sorted(Path(folder, "imagenet_1000").glob("*.JPEG"))
    assert len(photographs) == 1000
    for path in photographs[::10]:
        expected = transform(default_loader(str(path))).numpy()
        np.testing.assert_array_equal(preprocess(open_image(path), spec), expected, path.name)

"""Mean and deviation of one scale with pixels of the other are refused, with both readings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.errors import InvalidRequest
from engine.preprocess import PreprocessSpec, preprocess, require_one_scale
from engine.preprocess.pixel_scale import raw_levels, scale_problem

UNIT = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
RAW = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
ONES = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        UNIT,
        {**RAW, "scale": 1},
        {"mean": (0, 0, 0), "std": ONES},
        {"mean": (0, 0, 0), "std": ONES, "scale": 1},
        {"mean": (104, 117, 123), "std": ONES, "scale": 1, "color": "bgr"},
        {"mean": ONES, "std": (127.5,) * 3, "scale": 1},
        {"mean": ONES, "std": ONES, "scale": 1 / 127.5},
        {"mean": (2.1, 1.98, 1.76), "std": ONES, "scale": 0.017},
        {"mean": (0.4, 0.45, 0.48), "std": (1 / 255,) * 3},
        {"mean": (0, 0, 0), "std": (255,) * 3, "scale": 1},
    ],
)
def test_values_of_the_pixels_they_are_taken_from(settings: dict[str, Any]) -> None:
    spec = PreprocessSpec(**settings)
    assert require_one_scale(spec) is spec


@pytest.mark.parametrize(
    ("settings", "readings"),
    [
        (RAW, ["mean 0.485,0.456,0.406 and std 0.229", "--scale 1", "mean 123.675,116.28"]),
        ({"mean": RAW["mean"]}, ["mean 0.485,0.456,0.406 and std 0.229", "and std 58.395,57.12"]),
        ({"std": RAW["std"]}, ["The std", "std 0.229,0.224,0.225", "mean 123.675,116.28,103.53"]),
        ({"mean": (104, 117, 123), "std": ONES}, ["mean 0.407843", "mean 104,117,123 and std 1,"]),
        ({"mean": (0, 0, 0), "std": (255,) * 3}, ["std 1,1,1", "mean 0,0,0 and std 255,255,255"]),
        ({"mean": (0.485, 116.28, 0.406)}, ["mixes", "--scale 1"]),
        ({"scale": 1}, ["mean 123.675,116.28,103.53", "mean 0,0,0 and std 1,1,1", "1/255"]),
        ({"scale": 1, "mean": (0.5,) * 3, "std": (0.5,) * 3}, ["mean 127.5", "mean 0.5,0.5,0.5"]),
        ({"scale": 1, "mean": RAW["mean"]}, ["The std 0.229", "std 58.395"]),
        ({"scale": 0.017, "mean": RAW["mean"]}, ["times the scale of 0.017: mean 2.10"]),
    ],
)
def test_values_of_other_pixels(settings: dict[str, Any], readings: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        require_one_scale(PreprocessSpec(**settings))
    for reading in readings:
        assert reading in str(caught.value)


def test_stored_specs_are_read_whatever_they_say() -> None:
    spec = PreprocessSpec.from_dict({**PreprocessSpec().to_dict(), **RAW})
    assert scale_problem(spec) is not None


def test_raw_levels_do_the_same_to_pixels_that_are_not_divided() -> None:
    spec = PreprocessSpec(None, crop=16, **UNIT)
    mean, std = raw_levels(spec)
    assert mean == pytest.approx(RAW["mean"])
    same = PreprocessSpec(None, crop=16, scale=1, mean=mean, std=std)
    image = Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
    np.testing.assert_allclose(preprocess(image, same), preprocess(image, spec), atol=1e-5)

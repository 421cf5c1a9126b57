"""A calibration set that does not look like the evaluation set is named: classes, light, size."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.models import Dataset
from engine.datasets.registration import check_folder, register
from engine.datasets.report import DatasetReport
from engine.runs.calibration_likeness import differences


def folder(root: Path, gray: int, side: int, classes: tuple[str, ...] = ("a", "b")) -> Path:
    random = np.random.default_rng(gray)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(8):
            level = np.clip(random.normal(gray, 20), 0, 255)
            pixels = np.full((side, side + 7, 3), level, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def dataset(url: str, root: Path, **more: int) -> Dataset:
    made = folder(root, **{"gray": 120, "side": 40, **more})
    return register(root.name, check_folder(made, None, lambda done, total: None), url)


def test_registration_takes_brightness_and_size(url: str, tmp_path: Path) -> None:
    facts = DatasetReport.of(dataset(url, tmp_path / "one")).pixels
    assert facts is not None
    assert (facts.images, facts.short_side) == (16, 40)
    assert facts.brightness == pytest.approx(120, abs=15)
    assert facts.brightness_sd == pytest.approx(20, abs=8)


def test_similar_sets_have_no_difference(url: str, tmp_path: Path) -> None:
    one, two = dataset(url, tmp_path / "one"), dataset(url, tmp_path / "two", gray=121, side=44)
    assert list(differences(one, two, 300)) == []
    assert list(differences(one, one, 300)) == []


def test_dark_and_small_images_are_named(url: str, tmp_path: Path) -> None:
    light, dark = (
        dataset(url, tmp_path / "light"),
        dataset(url, tmp_path / "dark", gray=40, side=16),
    )
    tone, size = differences(dark, light, 300)
    assert tone.startswith("The images of dark are darker than those of light: mean gray level ")
    assert "median short side 16 against 40 pixels" in size


def test_datasets_of_earlier_versions_are_sampled(url: str, tmp_path: Path) -> None:
    light, dark = dataset(url, tmp_path / "light"), dataset(url, tmp_path / "dark", gray=40)
    expected = list(differences(dark, light, 300))
    assert len(expected) == 1
    dark.report = {}
    assert list(differences(dark, light, 300)) == expected
    other = dataset(url, tmp_path / "other", gray=40)
    other.report = {}
    (tmp_path / "other" / "b" / "1.png").unlink()
    assert "darker" in next(differences(other, light, 300))
    shutil.rmtree(tmp_path / "other")
    assert list(differences(other, light, 300)) == []


def test_other_classes_are_named(url: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "five", 120, 40, ("a", "b", "c", "d", "e"))
    checked = check_folder(root, None, lambda done, total: None)
    five = register("five", checked, url)

    def part(name: str, images: int) -> Dataset:
        few = {"files": checked.files[:images], "labels": checked.labels[:images]}
        return register(name, replace(checked, **few, digest=name[0] * 64), url)

    (sentence,) = differences(part("one class", 8), five, 300)
    assert "cover 1 of the 5 classes of five" in sentence
    assert list(differences(part("three classes", 24), five, 300)) == []
    # Two images cover two classes at most, which is not the fault of the dataset.
    assert list(differences(part("all classes", 40), five, 2)) == []

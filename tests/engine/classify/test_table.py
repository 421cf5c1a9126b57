"""True classes from names of files and folders, and predictions as rows."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.classify.predict import Classification, Prediction
from engine.classify.table import agree, predict_row, prediction_rows, to_csv
from engine.classify.true_class import TrueClasses
from engine.datasets import imagenet

DEMO = ("red disc", "blue disc", "=SUM(1)", "crane, bird", "crane, lifting machine")


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("n01440764_18.JPEG", 0),
        ("val/n01443537/x.jpg", 1),
        ("C:\\photos\\goldfish\\4.jpg", 1),
        ("tiger_shark-2.png", 3),
        ("great white shark (3).webp", 2),
        ("crane.jpg", None),
        ("IMG_2034.jpg", None),
        ("n99999999_1.jpg", None),
    ],
)
def test_the_true_class_is_read_from_the_file_or_its_folder(path: str, index: int | None) -> None:
    assert TrueClasses(imagenet.class_names()).find(path) == index


def test_other_classes_have_no_wordnet_ids() -> None:
    truths = TrueClasses(DEMO)
    assert truths.find("red_disc.png") == 0
    assert truths.find("n01440764_18.JPEG") is None
    assert truths.find("lifting machine.png") == 4


def answer(*indices: int) -> Classification:
    found = tuple(Prediction(index, DEMO[index], 0.5) for index in indices)
    return Classification(found, np.zeros((1, 1, 3), np.uint8), 0, 0, 0)


def test_rows_hold_what_each_build_says_and_are_safe_in_a_spreadsheet() -> None:
    build: Any = SimpleNamespace(model_id="demo/senet", precision="int8", digest="ab")
    truths = TrueClasses(DEMO)
    ones = [
        predict_row(name, build, "onnxruntime", answer(first, 1), truths)
        for name, first in (("red disc.png", 0), ("red disc 2.png", 2), ("x.png", 0))
    ]
    assert [one.correct for one in ones] == [True, False, None]
    rows = list(csv.DictReader(io.StringIO(to_csv(prediction_rows(ones)))))
    assert [row["correct"] for row in rows] == ["True", "False", ""]
    assert rows[1]["top1_class"] == "'=SUM(1)"
    assert float(rows[0]["top2_probability"]) == 0.5
    assert agree([answer(1, 2), answer(1, 3)])
    assert not agree([answer(1, 2), answer(2, 1)])

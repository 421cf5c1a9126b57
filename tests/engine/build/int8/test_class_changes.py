"""Class changes from fp32 to int8: counted, and explained where they are many."""

from __future__ import annotations

import numpy as np

from engine.build.int8.class_changes import compare_top1


def test_changes_are_counted_with_their_margins() -> None:
    fp32 = np.array([[3, 1, 0], [1, 1.5, 0], [0, 0, 9], [0, 2, 1]], np.float32)
    int8 = np.array([[3, 1, 0], [1.75, 1.5, 0], [0, 0, 9.25], [0, 2, 1]], np.float32)
    found = compare_top1(fp32, int8)
    assert (found.images, found.changed, found.margin, found.shift) == (4, 1, 0.5, 0.125)
    assert found.are_many
    assert "differs from fp32 on 1 of 4 calibration images" in found.warning()


def test_without_a_change_there_is_no_margin() -> None:
    scores = np.eye(3, dtype=np.float32)
    found = compare_top1(scores, scores)
    assert (found.changed, found.margin, found.are_many) == (0, 0.0, False)

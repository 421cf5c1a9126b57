"""How outputs go with classes, what is said of it, and that scores stay those of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.datasets.classes import Classes, ClassSource, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.reader import open_index
from engine.datasets.registration import CheckedDataset, find_dataset, register
from engine.errors import LabelsMismatch
from engine.evaluation.scoring import score, score_matched

OF_WNIDS = Classes(class_names(), ClassSource.WNIDS, (5, 217, 999))
BY_INDEX = Classes(class_names(), ClassSource.INDICES)
OWN = Classes(("ant", "bee", "cat"), ClassSource.NAMES)
OPEN = Classes(tuple("0123"), ClassSource.OPEN_NUMBERS)
NUMBERS = Classes(tuple("0123"), ClassSource.NUMBERS)


def match(outputs: int, classes: Classes, background: int | None = None):
    return match_outputs("onnx/x", outputs, background, "set", classes)


def test_outputs_for_the_wnids_that_are_there_are_in_their_order() -> None:
    matching = match(3, OF_WNIDS)
    assert matching.class_of_output == (5, 217, 999)
    assert "sorted by wnid" in str(matching.assumed)
    assert matching.outputs_of_labels(np.array([999, 5])).tolist() == [2, 0]
    assert match(4, OF_WNIDS, background=0).class_of_output == (5, 217, 999)


def test_a_thousand_outputs_are_scored_over_the_thousand() -> None:
    for outputs, background in ((1000, None), (1001, 0)):
        matching = match(outputs, OF_WNIDS, background)
        assert (matching.outputs, matching.class_of_output) == (1000, None)
        assert "over all 1,000 outputs" in str(matching.assumed)
    assert match(1000, BY_INDEX).assumed is None


def test_own_classes_are_in_the_order_of_the_dataset() -> None:
    matching = match(3, OWN)
    assert matching.class_of_output is None
    assert "in the same order (ant, bee, cat" in str(matching.assumed)


def test_an_open_end_takes_more_outputs_but_not_a_background_class() -> None:
    assert match(4, OPEN).outputs == 4
    assert "are indices of the 12 outputs" in str(match(12, OPEN).assumed)
    assert match(1000, OPEN).outputs == 1000
    with pytest.raises(LabelsMismatch, match="--background 0"):
        match(1001, OPEN)
    with pytest.raises(LabelsMismatch):
        match(3, OPEN)


@pytest.mark.parametrize(
    ("outputs", "classes", "hint"),
    [
        (1001, BY_INDEX, "`run`, `evaluate`, .* take `--background 0`"),
        (1001, OF_WNIDS, "--background 0"),
        (4, OWN, "--classes FILE"),
        (5, NUMBERS, "--label-base 1"),
        (999, OF_WNIDS, "of which 3 have images: neither number matches"),
        (4, OF_WNIDS, "neither number matches"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(
    outputs: int, classes: Classes, hint: str
) -> None:
    with pytest.raises(LabelsMismatch, match=hint) as caught:
        match(outputs, classes)
    assert ("--background" in str(caught.value)) is (outputs == 1001)


def test_scores_of_fewer_outputs_are_kept_as_classes_of_the_dataset() -> None:
    scores = np.array([[0.0, 3, 1], [2, 0, 1], [0, 1, 2]], np.float32)
    image, label = np.arange(3), np.array([217, 999, 999])
    found = score_matched(scores, image, label, match(3, OF_WNIDS), probabilities=False)
    plain = score(scores, image, np.array([1, 2, 2]), probabilities=False)
    assert found.rank.tolist() == plain.rank.tolist() == [0, 1, 0]
    assert found.label.tolist() == [217, 999, 999]
    assert found.top is not None
    assert found.top.tolist() == [[217, 999, 5], [5, 999, 217], [999, 217, 5]]
    np.testing.assert_array_equal(found.truth_probability, plain.truth_probability)


def test_a_refusal_tells_of_the_background_class_that_was_declared() -> None:
    classes = Classes(tuple("abcd"), ClassSource.NAMES)
    with pytest.raises(LabelsMismatch, match="3 outputs without the background class 0, dataset"):
        match(4, classes, background=0)


def test_an_index_by_wnid_stays_where_the_same_labels_come_without(
    tmp_path: Path, url: str
) -> None:
    """One digest, one index: it keeps what lets a network of so many outputs be matched."""
    files, labels = ("a.png", "b.png"), (3, 7)
    for name, source, present in (
        ("wnids", ClassSource.WNIDS, labels),
        ("indices", ClassSource.INDICES, None),
    ):
        checked = CheckedDataset(
            tmp_path, "flat", files, labels, class_names(), (), "ab" * 32, source, present
        )
        register(name, checked, url)
    for name in ("wnids", "indices"):
        classes = open_index(find_dataset(name, url)).all_classes
        assert match_outputs("x", 2, None, name, classes).class_of_output == (3, 7)

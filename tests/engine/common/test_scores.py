"""Ranking of scores of every type that networks give."""

from __future__ import annotations

import numpy as np
import pytest

from engine.common.scores import as_scores, rank_of, top_k
from engine.runtimes.batches import in_batches

TYPES = (np.float16, np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64)


@pytest.mark.parametrize("kind", TYPES)
def test_the_order_is_the_same_for_every_type(kind: type) -> None:
    scores = np.array([[3, 9, 9, 0, 7, 100]], kind)
    assert top_k(scores, 6).tolist() == [[5, 1, 2, 4, 0, 3]]
    ranks = [int(rank_of(scores, np.array([label]))[0]) for label in range(6)]
    assert ranks == [4, 1, 2, 5, 3, 0]


def test_top_k_is_the_order_of_ranks() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (50, 20)).astype(np.uint8)
    best = top_k(scores, 20)
    for place in range(20):
        assert (rank_of(scores, best[:, place]) == place).all()


def test_a_score_that_is_no_number_is_never_right() -> None:
    scores = np.array([[np.nan, 1.0, 2.0]], np.float32)
    assert rank_of(scores, np.array([0])).tolist() == [2]
    assert top_k(scores, 3).tolist() == [[2, 1, 0]]


def test_scores_that_follow_the_classes_are_one_row() -> None:
    assert as_scores(np.zeros((2, 7, 1, 1), np.float64)).shape == (2, 7)
    assert as_scores(np.zeros((2, 7), np.uint8)).dtype == np.float32


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_model_of_one_batch_size_gives_every_image_its_row(count: int) -> None:
    asked = []

    def run(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        return batch * 2

    images = np.arange(count)
    assert in_batches(run, images, 4).tolist() == (images * 2).tolist()
    assert set(asked) == {4}

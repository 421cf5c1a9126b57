"""Figures of an evaluation against scipy, and against plain loops over the definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import proportion_confint

from engine.evaluation.metrics import (
    compute_metrics,
    expected_calibration_error,
    per_class,
    top_confusions,
)
from engine.evaluation.per_image import PerImage
from engine.evaluation.scoring import score, score_top

CLASSES, N = 12, 600


def logits(seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, N)
    table = random.normal(0, 1.5, (N, CLASSES)).astype(np.float32)
    table[np.arange(N), labels] += random.normal(1.5, 1, N).astype(np.float32)
    return (np.round(table) if ties else table), labels


def scored(seed: int = 0, ties: bool = False) -> tuple[PerImage, np.ndarray, np.ndarray]:
    table, labels = logits(seed, ties)
    return score(table, np.arange(N), labels, probabilities=False), table, labels


def test_figures_equal_scipy_and_statsmodels() -> None:
    images, table, labels = scored()
    found = compute_metrics(images)
    log_probability = special.log_softmax(table.astype(np.float64), axis=1)
    ranks = scipy_stats.rankdata(-table, axis=1)[np.arange(N), labels]
    assert found.top1_count == int((ranks == 1).sum())
    assert found.top5_count == int((ranks <= 5).sum())
    assert found.mean_rank == pytest.approx(ranks.mean())
    assert found.negative_log_likelihood == pytest.approx(
        -log_probability[np.arange(N), labels].mean(), rel=1e-6
    )
    expected = proportion_confint(found.top5_count, N, method="wilson")
    assert (found.top5_low, found.top5_high) == pytest.approx(expected)


def test_the_calibration_error_is_that_of_its_definition() -> None:
    images, table, labels = scored(1)
    shares = special.softmax(table.astype(np.float64), axis=1)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert compute_metrics(images).calibration_error == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "right", "error"), [(1.0, True, 0), (1.0, False, 1), (0, True, 1)]
)
def test_calibration_at_the_ends(confidence: float, right: bool, error: float) -> None:
    found = expected_calibration_error(np.full(4, confidence), np.full(4, right))
    assert found == pytest.approx(error)


@pytest.mark.parametrize("ties", [False, True])
def test_the_best_five_alone_give_the_same_counts(ties: bool) -> None:
    images, _, labels = scored(2, ties)
    assert images.top is not None
    from_top = score_top(images.top, np.arange(N), labels)
    assert from_top.counts() == images.counts()
    assert compute_metrics(from_top).mean_rank is None, "beyond the best five nobody knows the rank"


def test_classes_and_confusions_add_up() -> None:
    images, table, labels = scored(3)
    classes, confused = per_class(images), top_confusions(images, most=10_000)
    best = table.argmax(axis=1)
    assert classes["images"].tolist() == np.bincount(labels).tolist()
    for row in classes.to_dict("records"):
        of_class = labels == row["class_index"]
        assert row["right"] == int((best[of_class] == row["class_index"]).sum())
        assert (row["low"], row["high"]) == pytest.approx(
            proportion_confint(row["right"], row["images"], method="wilson")
        )
    assert confused["images"].sum() == int((best != labels).sum())
    assert confused["images"].is_monotonic_decreasing
    top = confused.iloc[0]
    assert top["images"] == int(((labels == top["label"]) & (best == top["predicted"])).sum())
    assert top["share"] == pytest.approx(top["images"] / (labels == top["label"]).sum())


@pytest.mark.parametrize("ties", [False, True])
def test_confusions_are_the_cells_beside_the_diagonal(ties: bool) -> None:
    images, table, labels = scored(4, ties)
    crossed = pd.crosstab(labels, table.argmax(axis=1))
    beside = crossed.where(~np.eye(CLASSES, dtype=bool), 0).stack()
    expected = {cell: int(count) for cell, count in beside.items() if count}
    found = top_confusions(images, most=10_000)
    cells = zip(found["label"], found["predicted"], strict=True)
    assert dict(zip(cells, found["images"], strict=True)) == expected
    totals = crossed.sum(axis=1)
    shares = found["images"] / found["label"].map(totals)
    assert found["share"].to_numpy() == pytest.approx(shares.to_numpy())


def test_ranks_of_equal_scores_go_by_index() -> None:
    images, table, labels = scored(5, ties=True)
    before = table[np.arange(N), labels][:, None]
    first = np.arange(CLASSES)[None, :] < labels[:, None]
    ranks = ((table > before) | ((table == before) & first)).sum(axis=1)
    assert images.rank.tolist() == ranks.tolist()
    assert compute_metrics(images).mean_rank == pytest.approx(1 + ranks.mean())
    least = scipy_stats.rankdata(-table, axis=1, method="min")[np.arange(N), labels]
    assert (1 + ranks >= least).all()


def test_without_labels_there_is_no_accuracy() -> None:
    table, _ = logits()
    images = score(table, np.arange(N), np.full(N, -1), probabilities=False)
    found = compute_metrics(images)
    assert (found.images, found.top1, found.mean_rank, found.calibration_error) == (N, *3 * (None,))
    assert per_class(images).empty
    assert top_confusions(images).empty

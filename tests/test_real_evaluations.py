"""Real predictions and real networks: what published figures and an independent loop give.

Needs the folder named by SENET_REAL_DATA; skipped without it.
"""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path

import pytest

from db.enums import Precision
from engine.accuracy.pairs import compare
from engine.catalog import catalogue
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.results import results_frame

pytestmark = pytest.mark.real

PUBLISHED = {
    "legacy_seresnet50": (77.636, 93.752),
    "legacy_seresnet101": (78.396, 94.258),
    "legacy_seresnet152": (78.658, 94.374),
    "legacy_seresnext50_32x4d": (79.076, 94.434),
    "legacy_seresnext101_32x4d": (80.236, 95.028),
    "legacy_senet154": (81.304, 95.498),
}


def test_imported_predictions_of_six_networks(url: str, real_data: Path) -> None:
    ids = {}
    for name, (top1, top5) in PUBLISHED.items():
        asked = OutsideEvaluation(
            real_data / "predictions" / f"{name}.npz",
            f"timm/{name}",
            Precision.FP32,
            "ImageNetV2 authors",
            "imagenet-val",
            per_class=50,
        )
        row, _ = import_evaluation(asked, url)
        ids[name] = row.id
        assert row.images == 50_000
        assert row.top1_count is not None
        assert row.top5_count is not None
        assert (round(row.top1_count / 500, 3), round(row.top5_count / 500, 3)) == (top1, top5)
    frame = results_frame(url)
    assert set(frame["model_id"]) == {f"timm/{name}" for name in PUBLISHED}
    assert set(frame["model_id"]) <= set(catalogue())
    seconds = []
    for first, second in combinations(PUBLISHED, 2):
        begun = time.perf_counter()
        pair = compare(ids[first], ids[second], url)
        seconds.append(time.perf_counter() - begun)
        assert pair.difference is not None
        points = PUBLISHED[second][0] - PUBLISHED[first][0]
        assert 100 * pair.difference.difference == pytest.approx(points, abs=1e-3)
        assert pair.difference.low < pair.difference.difference < pair.difference.high
    assert pair.difference.p_value < 1e-6
    print(f"slowest comparison {max(seconds):.3f} s")

"""Real predictions and real networks: what published figures and an independent loop give.

What the loop of plain torch gives is recorded; `make test-slow` runs it again.

Needs the folder named by SENET_REAL_DATA; skipped without it.
"""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from db.enums import Precision
from engine.catalog.models import catalog
from engine.evaluation.paired import compare
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.results import results_frame
from tests.support.plain_torch import NETWORKS, crops_of, recorded_top5, top5
from tests.support.real_photographs import evaluated, spec_of

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
    for name, published in PUBLISHED.items():
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
        assert (round(row.top1_count / 500, 3), round(row.top5_count / 500, 3)) == published
    frame = results_frame(url)
    assert set(frame["model_id"]) == {f"timm/{name}" for name in PUBLISHED}
    assert set(frame["model_id"]) <= set(catalog())
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


def test_squeezenet_image_by_image_as_torchvision_has_it(
    url: str, tmp_path: Path, real_data: Path, photographs: str
) -> None:
    path = real_data / "weights" / "squeezenet1_1.onnx"
    spec = spec_of("onnx/squeezenet", path, preprocess={"resize": 256, "crop": 224})
    images = evaluated(url, tmp_path, spec)
    expected = recorded_top5("squeezenet")
    hits = expected == np.arange(1000)[:, None]
    assert images.top is not None
    assert np.array_equal(images.top[:, 0], expected[:, 0])
    assert images.counts() == (int(hits[:, 0].sum()), int(hits.any(axis=1).sum())) == (612, 835)


@pytest.mark.slow
def test_the_recorded_classes_are_those_of_torch_and_torchvision(real_data: Path) -> None:
    crops = crops_of(real_data / "imagenet_1000")
    for name in NETWORKS:
        assert np.array_equal(top5(name, crops, real_data / "weights"), recorded_top5(name)), name

"""The table, its exports, and two precisions held against each other on the same images."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from db.enums import Precision
from db.models import Artifact
from engine.benchmark import job as benchmark
from engine.common.stats import wilson_interval
from engine.errors import ArtifactMissing, InvalidRequest
from engine.evaluation import job as evaluation
from engine.results import COLUMNS, STORED, published_frame, results_frame
from engine.results.formats import to_csv, to_json, to_markdown
from engine.results.precision_pairs import paired_top1_difference, precision_pairs
from engine.specs import BenchmarkSpec, EvaluateSpec
from engine.store.database import prepare_database
from tests.support.homes import copy_of, own_home
from tests.support.tiny import Quiet, image_folder, labeled_by, store_build, tiny_se_model


@pytest.fixture(scope="module")
def built_once(
    template_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Artifact]]:
    """fp16 right on everything, int8 (another network) not, fp32 not measured: home and builds."""
    work = tmp_path_factory.mktemp("results")
    with own_home(work / "home") as folder:
        url = copy_of(template_home, folder)
        labeled_by(tiny_se_model(), image_folder(work / "set"), url)
        made = {
            "fp32": store_build(url, tiny_se_model(), Precision.FP32),
            "fp16": store_build(url, tiny_se_model(), Precision.FP16),
            "int8": store_build(url, tiny_se_model(seed=5), Precision.INT8),
        }
        for name in ("fp16", "int8"):
            measure_accuracy(url, work, made[name], "tiny")
            measure_speed(url, work, made[name])
    return folder, made


@pytest.fixture
def url(built_once: tuple[Path, dict[str, Artifact]], home: Path) -> str:
    """The database of the builds, in the test's own home."""
    return copy_of(built_once[0], home)


@pytest.fixture
def builds(built_once: tuple[Path, dict[str, Artifact]]) -> dict[str, Artifact]:
    """The builds by their precision."""
    return built_once[1]


def measure_accuracy(url: str, tmp_path: Path, artifact: Artifact, dataset: str) -> int:
    spec = EvaluateSpec(artifact=artifact.digest, dataset=dataset, batch=8)
    work = tmp_path / f"evaluate-{artifact.precision}-{dataset}"
    return int(evaluation.run(spec.to_json(), Quiet(url, work))["evaluation"])


def measure_speed(url: str, tmp_path: Path, artifact: Artifact, batch: int = 1) -> None:
    spec = BenchmarkSpec(
        artifact=artifact.digest, batch=batch, window_s=0.02, max_s=0.1, tolerance=0.9
    )
    work = tmp_path / f"benchmark-{artifact.precision}-{batch}"
    benchmark.run(spec.to_json(), Quiet(url, work))


def test_an_empty_database_has_an_empty_table_with_all_columns(
    template_home: Path, home: Path
) -> None:
    frame = results_frame(copy_of(template_home, home))
    assert list(frame.columns) == list(STORED)
    assert len(frame) == 0
    assert to_markdown(frame).count("\n") == 2


def test_each_build_is_a_row_and_what_was_not_measured_is_missing(
    url: str, builds: dict[str, Artifact]
) -> None:
    frame = results_frame(url).set_index("precision")
    assert set(frame.index) == {"fp32", "fp16", "int8"}
    assert frame.loc["fp32", ["top1", "images_per_s"]].isna().all()
    assert frame.loc["fp16", "top1"] == 100
    row = frame.loc["int8"]
    low, high = wilson_interval(int(row["top1_count"]), int(row["images"]))
    assert (row["top1_low"], row["top1_high"]) == pytest.approx((100 * low, 100 * high))
    assert row["top1"] == pytest.approx(100 * row["top1_count"] / 120)


def test_only_the_newest_of_equal_measurements_is_shown(
    url: str, tmp_path: Path, builds: dict[str, Artifact]
) -> None:
    before = results_frame(url)
    (tmp_path / "again").mkdir()
    measure_speed(url, tmp_path / "again", builds["fp16"])
    measure_speed(url, tmp_path / "again", builds["fp16"], batch=4)
    after = results_frame(url)
    assert len(after) == len(before) + 1, "another batch is another row, a repetition is not"


def test_the_drop_is_paired_on_the_same_images(url: str, builds: dict[str, Artifact]) -> None:
    frame = results_frame(url)
    pairs = precision_pairs(frame, url, "fp16", "int8")
    assert len(pairs) == 1
    pair = pairs.iloc[0]
    by = frame.set_index("precision")
    assert pair["change"] == pytest.approx(by.loc["int8", "top1"] - by.loc["fp16", "top1"])
    assert (pair["only_first"], pair["only_second"]) == (120 - by.loc["int8", "top1_count"], 0)
    assert pair["change_low"] <= pair["change"] <= pair["change_high"]
    speeds = by["images_per_s"]
    assert pair["speed_up"] == pytest.approx(speeds["int8"] / speeds["fp16"])
    sizes = by["size_mb"]
    assert pair["size_ratio"] == pytest.approx(sizes["int8"] / sizes["fp16"])


def test_different_images_are_never_compared(
    url: str, tmp_path: Path, builds: dict[str, Artifact]
) -> None:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "other", per_class=25), url)
    elsewhere = measure_accuracy(url, tmp_path / "b", builds["fp32"], "tiny")
    first = results_frame(url).set_index("precision").loc["fp16", "evaluation_id"]
    with pytest.raises(InvalidRequest, match="have different images"):
        paired_top1_difference(int(first), elsewhere, url)
    assert precision_pairs(results_frame(url), url, "fp16", "fp32")["change"].isna().all()


def test_per_image_results_that_are_gone_are_named(url: str, builds: dict[str, Artifact]) -> None:
    from engine.config import settings

    for path in (settings().home / "results").glob("images-*"):
        path.unlink()
    with pytest.raises(ArtifactMissing, match="evaluate again"):
        precision_pairs(results_frame(url), url, "fp16", "int8")


def test_csv_and_json_hold_every_column_at_full_precision(
    url: str, builds: dict[str, Artifact]
) -> None:
    frame = results_frame(url)
    rows = list(csv.DictReader(io.StringIO(to_csv(frame))))
    records = json.loads(to_json(frame))
    assert list(rows[0]) == [COLUMNS[name].export_header for name in STORED]
    assert list(records[0]) == list(STORED)
    for row, record, expected in zip(rows, records, frame["images_per_s"], strict=True):
        if np.isnan(expected):
            assert (row["images/s"], record["images_per_s"]) == ("", None)
        else:
            assert float(row["images/s"]) == expected
            assert record["images_per_s"] == pytest.approx(expected, rel=1e-12)


def test_markdown_shows_what_is_missing_as_a_dash(url: str, builds: dict[str, Artifact]) -> None:
    text = to_markdown(results_frame(url)[["model_id", "precision", "top1"]])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert lines[0] == ["model", "precision", "top-1 (%)"]
    assert ["onnx/tiny", "fp32", "–"] in lines
    assert ["onnx/tiny", "fp16", "100.00"] in lines


def test_the_published_rows_are_the_catalog() -> None:
    frame = published_frame(prepare_database())
    assert len(frame) == 25
    assert frame["source"].value_counts().to_dict() == {"timm": 16, "ppcls": 7, "mmcls": 2}
    assert frame["compute_gmacs"].isna().all()

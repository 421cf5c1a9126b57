"""Speeds of another machine stand in the same table, or one sentence says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.enums import Precision
from engine.errors import InvalidRequest
from engine.imports.benchmark import import_benchmarks, read_benchmarks
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.results import results_frame

CARD: dict[str, Any] = {
    "model": "timm/seresnet50",
    "precision": "int8",
    "source": "card X",
    "device": "Card X 16 GB",
    "images_per_s": 4321.5,
    "batch": 8,
    "latency_p50_ms": 1.85,
    "environment": {"driver": "1.2"},
}


def test_an_accelerators_accuracy_and_speed_share_one_row(url: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npy"
    np.save(path, np.arange(200) // 20)
    import_evaluation(
        OutsideEvaluation(path, CARD["model"], Precision.INT8, "card X", "other", per_class=20), url
    )
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    import_benchmarks(read_benchmarks(tmp_path / "card.json"), url)
    frame = results_frame(url)
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["top1"], row["images_per_s"], row["batch"]) == (100, 4321.5, 8)
    assert row["environment"] == "Card X 16 GB, not stated (imported)"
    assert row[["images_per_s_low", "latency_p99_ms", "stable", "size_mb"]].isna().all()


def test_a_csv_gives_what_json_gives_and_nothing_is_imported_twice(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([CARD, {**CARD, "batch": 16}]))
    (tmp_path / "a.csv").write_text(
        "model,precision,source,device,images_per_s,batch,latency_p50_ms,environment.driver\n"
        "timm/seresnet50,int8,card X,Card X 16 GB,4321.5,8,1.85,1.2\n"
        "timm/seresnet50,int8,card X,Card X 16 GB,4321.5,16,1.85,1.2\n"
    )
    first = import_benchmarks(read_benchmarks(tmp_path / "a.json"), url)
    again = import_benchmarks(read_benchmarks(tmp_path / "a.json"), url)
    assert [known for _, known in first + again] == [False, False, True, True]
    assert len(read_benchmarks(tmp_path / "a.csv")) == 2
    assert len(results_frame(url)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images_per_s": -1}, "benchmark 1: images_per_s: Input should be greater than 0"),
        ({"images_per_s": "fast"}, "benchmark 1: images_per_s"),
        ({"device": None}, "benchmark 1: device"),
        ({"speed": 3}, "benchmark 1: speed: Extra inputs are not permitted"),
        ({"latency_p90_ms": 1.0}, "percentiles must rise"),
        ({"images_per_s_low": 5000}, "must lie between"),
        ({"precision": "fp8"}, "benchmark 1: precision"),
        ({"batch": 10**30}, "benchmark 1: batch: Input should be less"),
        ({"samples": 2**40}, "benchmark 1: samples"),
        ({"batch": True}, "benchmark 1: batch: True is not a number"),
        ({"images_per_s": 1e300}, "benchmark 1: images_per_s"),
        ({"images_per_s": 1e-320}, "too small to be a measured value"),
        ({"source": "a\0b"}, r"source 'a\\x00b' holds \\x00"),
        ({"device": "a\x1b[31m"}, r"device 'a\\x1b\[31m' holds"),
        ({"runtime": "r" * 41}, "runtime has 41 characters; 1 to 40"),
        ({"environment": {"a": 10**30}}, r"environment\.a is 10+; a finite number"),
        ({"environment": {"a\0": 1}}, "A key of environment"),
        ({"model": "timm/../../etc"}, "looks like a path"),
        ({"model": "nothing/x"}, "There is no model"),
    ],
)
def test_a_wrong_figure_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**CARD, **change}))
    with pytest.raises(InvalidRequest, match=message):
        read_benchmarks(tmp_path / "a.json")


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["images_per_s", "latency_p99_ms", "load_ms", "peak_rss_mb"])
def test_no_figure_is_infinite(tmp_path: Path, name: str, figure: str) -> None:
    text = json.dumps({**CARD, name: 0})
    (tmp_path / "a.json").write_text(text.replace(f'"{name}": 0', f'"{name}": {figure}'))
    with pytest.raises(InvalidRequest, match=r"a\.json cannot be read"):
        read_benchmarks(tmp_path / "a.json")
    (tmp_path / "a.csv").write_text(
        f"model,precision,source,device,batch,images_per_s,environment.x,{name}\n"
        f"timm/seresnet50,int8,X,X,1,5,1,{figure.replace('NaN', 'inf')}\n"
    )
    with pytest.raises(InvalidRequest, match="benchmark 1"):
        read_benchmarks(tmp_path / "a.csv")


def test_one_bad_row_keeps_the_others_out_too(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([CARD, {**CARD, "model": "nothing/x"}]))
    with pytest.raises(InvalidRequest, match="benchmark 2: model"):
        import_benchmarks(read_benchmarks(tmp_path / "a.json"), url)
    assert results_frame(url).empty


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ("[]", "holds no bench")])
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InvalidRequest, match=message):
        read_benchmarks(tmp_path / "a.json")

"""Rows by runtime: the best one of each build, each, or one by name."""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.results.groups import RuntimeChoice, in_runtime, runtimes_of, speed_groups

ORT, OPENVINO = "onnxruntime 1.32.0", "openvino 2026.4.1"


def row(precision: str, runtime: str, rate: float, evaluated: bool = True) -> dict[str, object]:
    return {
        "model_id": "timm/a",
        "weights_digest": "w",
        "origin": "measured here",
        "precision": precision,
        "artifact_digest": precision,
        "runtime": runtime,
        "images_per_s": rate,
        "evaluation_id": 1.0 if evaluated else np.nan,
        "benchmark_id": 1.0 if rate == rate else np.nan,
    }


ROWS = pd.DataFrame(
    [
        row("fp32", ORT, 30),
        row("fp32", OPENVINO, 20),
        row("int8", ORT, 60),
        row("int8", OPENVINO, 90),
        row("bf16", OPENVINO, 40),
    ]
)


def pairs(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["precision"], rows["runtime"], strict=True))


def test_the_best_runtime_is_the_fastest_of_each_build() -> None:
    found = pairs(in_runtime(ROWS, RuntimeChoice.BEST))
    assert found == [("fp32", ORT), ("int8", OPENVINO), ("bf16", OPENVINO)]


def test_one_with_an_accuracy_is_better_than_a_faster_one_without() -> None:
    rows = pd.DataFrame([row("int8", ORT, 60), row("int8", OPENVINO, 90, evaluated=False)])
    assert pairs(in_runtime(rows, RuntimeChoice.BEST)) == [("int8", ORT)]
    rows = pd.DataFrame([row("int8", ORT, np.nan), row("int8", OPENVINO, 90, evaluated=False)])
    assert pairs(in_runtime(rows, RuntimeChoice.BEST)) == [("int8", ORT)]


def test_each_and_one_by_name() -> None:
    assert in_runtime(ROWS, RuntimeChoice.EACH) is ROWS
    assert pairs(in_runtime(ROWS, "onnxruntime")) == [("fp32", ORT), ("int8", ORT)]
    assert runtimes_of(ROWS["runtime"]) == ["onnxruntime", "openvino"]


def test_runtimes_of_one_setting_are_one_group() -> None:
    setting = {
        "environment": "A CPU",
        "environment_digest": "e" * 64,
        "provider": "CPUExecutionProvider",
        "batch": 1,
        "threads": 2,
        "instances": 1,
        "processes": 1,
        "scenario": "closed-loop",
    }
    (group,) = speed_groups(ROWS.assign(**setting))
    assert len(group.select_rows(ROWS.assign(**setting))) == 5
    assert "OpenVINO" not in group.label

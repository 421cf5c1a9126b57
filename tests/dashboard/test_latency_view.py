"""Latencies of two builds of one model at one precision have two names."""

from __future__ import annotations

import pandas as pd

from dashboard.components.compare.latency import _select_builds


def test_builds_that_would_have_one_name_are_told_apart() -> None:
    rows = pd.DataFrame(
        {
            "benchmark_id": [1, 2, 3],
            "precision": ["int8", "int8", "fp32"],
            "artifact_digest": ["a" * 64, "b" * 64, "c" * 64],
        }
    ).assign(label="timm/x", key="k", recommended=False, runtime="onnxruntime 1.32.0")
    assert [row["label"] for row in _select_builds(rows)] == [
        "timm/x · aaaaaaaaaaaa",
        "timm/x · bbbbbbbbbbbb",
        "timm/x",
    ]

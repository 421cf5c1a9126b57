"""A recommendation as plain data, for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.results.recommend.constraints import Constraints
from engine.results.recommend.decision import Recommendation
from engine.results.recommend.speed import Row
from engine.results.recommend.text import caveats, recommendation_text
from engine.text import is_missing

_BUILD = ("model_id", "precision", "runtime", "artifact_digest", "evaluation_id", "benchmark_id")
_FIGURES = (
    "top1", "top1_low", "top1_high", "images", "dataset", "drop_pp", "images_per_s",
    "images_per_s_low", "images_per_s_high", "speed_up", "speed_up_low", "speed_up_high",
    "latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms", "size_mb",
    "peak_rss_mb",
)  # fmt: skip


def recommendation_document(
    found: Recommendation, constraints: Constraints, images: str, setting: str
) -> dict[str, Any]:
    """State, build, evidence, what is open, the nearest miss; missing figures are None.

    `images`, `setting`: the image set and the conditions of the speeds.
    """
    assessment = found.assessment
    difference = assessment.difference
    return {
        "state": found.state.name.lower(),
        "sentence": str(recommendation_text(found, constraints, setting)),
        "images": images,
        "setting": setting,
        "constraints": {name: _plain(value) for name, value in asdict(constraints).items()},
        "candidates": found.candidates,
        "within_constraints": int(found.meets.sum()),
        "tested_together": assessment.family,
        "build": build_document(found.row),
        "reasons": list(assessment.reasons),
        "more_images": assessment.more_images if found.row else None,
        "difference": asdict(difference) if difference is not None else None,
        "latency_interval_ms": list(assessment.latency) if assessment.latency else None,
        "caveats": caveats(found.row, constraints) if found.row else [],
        "meets_already": build_document(found.shown),
        "nearest_miss": _miss_document(found),
    }


def build_document(row: Row | None) -> dict[str, Any] | None:
    """A row of results: which build it is, and its figures."""
    return None if row is None else {name: _plain(row.get(name)) for name in (*_BUILD, *_FIGURES)}


def _miss_document(found: Recommendation) -> dict[str, Any] | None:
    if found.nearest is None:
        return None
    missed = [
        {
            "constraint": miss.limit.name,
            "unit": miss.limit.unit,
            "limit": miss.limit.bound,
            "value": miss.value,
            "beyond_by": miss.excess,
        }
        for miss in found.misses
    ]
    return {"build": build_document(found.nearest), "misses": missed}


def _plain(value: Any) -> Any:
    if is_missing(value):
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value if isinstance(value, int | float | bool) else str(value)

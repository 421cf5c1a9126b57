"""A row of the results table."""

from __future__ import annotations


def point(precision: str, top1: float, images_per_s: float, **other: object) -> dict[str, object]:
    row: dict[str, object] = {
        "label": "timm/a",
        "weights_digest": "w",
        "weights_kind": "pretrained",
        "preprocess": "p",
        "precision": precision,
        "top1": top1,
        "top1_low": top1 - 2,
        "top1_high": top1 + 1,
        "images": 1000,
        "images_planned": 1000,
        "dataset": "val",
        "at_chance": False,
        "images_per_s": images_per_s,
        "images_per_s_low": images_per_s * 0.9,
        "images_per_s_high": images_per_s * 1.1,
        "latency_p50_ms": 3.0,
        "batch": 1,
        "threads": 2,
        "stable": True,
        "noise": None,
        "verdict": None,
        "valid": None,
        "compute_gmacs": 4.0,
        "size_mb": 100.0,
        "execution": "native",
        "calibration": None,
        "environment": "A CPU",
        "runtime": "onnxruntime 1.32.0",
        "evaluation_id": hash((precision, top1)),
    }
    return row | other

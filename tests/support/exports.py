"""Runs an export here and returns its artifact."""

from __future__ import annotations

from pathlib import Path

from db.enums import WeightsKind
from db.models import Artifact
from engine.export import job as export
from engine.specs import ExportSpec, WeightsSpec
from engine.store import artifacts
from tests.support.tiny import PREPROCESS, Quiet


def run_export(url: str, folder: Path, spec: ExportSpec) -> Artifact:
    result = export.run(spec.to_json(), Quiet(url, folder))
    return artifacts.find_by_digest(result["artifact"], url)


def onnx_spec(path: Path, **more: object) -> ExportSpec:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    return ExportSpec.model_validate(
        {"model_id": "onnx/tiny", "weights": weights, "preprocess": PREPROCESS.to_dict(), **more}
    )

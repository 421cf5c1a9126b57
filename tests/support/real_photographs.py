"""What tests on the 1,000 photographs share: exports to counts of right answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from db.enums import Precision, WeightsKind
from db.models import Evaluation
from db.session import reading
from engine.build import job as build
from engine.evaluation import job as evaluation
from engine.evaluation.per_image import PerImage, find_evaluation, load_per_image
from engine.export import job as export
from engine.runs.cells import needs_torchscript
from engine.specs import (
    DEFAULT_RUNTIME,
    BuildSpec,
    CalibrationSpec,
    EvaluateSpec,
    ExportSpec,
    WeightsSpec,
)
from tests.support.tiny import Quiet


def counts(
    url: str,
    tmp_path: Path,
    spec: ExportSpec,
    precision: Precision = Precision.FP32,
    runtime: str = DEFAULT_RUNTIME,
) -> tuple[int, int]:
    """Exports, builds and evaluates in a runtime; (top-1, top-5) counts."""
    export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    if needs_torchscript(runtime):
        scripted = spec.model_copy(update={"format": "torchscript"})
        export.run(scripted.to_json(), Quiet(url, tmp_path / "torchscript"))
    calibration = CalibrationSpec(dataset="in1k") if precision == Precision.INT8 else None
    built = build.run(
        BuildSpec(export=spec, precision=precision, calibration=calibration).to_json(),
        Quiet(url, tmp_path / "build"),
    )["artifact"]
    asked = EvaluateSpec(artifact=built, dataset="in1k", runtime=runtime)
    result = evaluation.run(asked.to_json(), Quiet(url, tmp_path / "evaluate"))
    with reading(url) as session:
        row = session.get(Evaluation, result["evaluation"])
    assert row is not None
    assert row.images == 1000
    return row.top1_count, row.top5_count


def evaluated(url: str, tmp_path: Path, spec: ExportSpec) -> PerImage:
    """Exports, builds in fp32 and evaluates; what became of every image."""
    export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    built = build.run(
        BuildSpec(export=spec, precision=Precision.FP32).to_json(), Quiet(url, tmp_path / "build")
    )["artifact"]
    asked = EvaluateSpec(artifact=built, dataset="in1k")
    result = evaluation.run(asked.to_json(), Quiet(url, tmp_path / "evaluate"))
    return load_per_image(find_evaluation(result["evaluation"], url))


def spec_of(model_id: str, path: Path, **more: Any) -> ExportSpec:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    return ExportSpec(model_id=model_id, weights=weights, **more)


def se_network(real_data: Path) -> ExportSpec:
    """The small SE network of timm, from its weights file."""
    path = real_data / "weights" / "tf_mobilenetv3_small_100.safetensors"
    return spec_of("timm/tf_mobilenetv3_small_100", path)


def build_se_network(url: str, work: Path, real_data: Path) -> None:
    """Exports the SE network and builds it in fp32, in folders of `work`."""
    spec = se_network(real_data)
    export.run(spec.to_json(), Quiet(url, work / "export"))
    fp32 = BuildSpec(export=spec, precision=Precision.FP32)
    build.run(fp32.to_json(), Quiet(url, work / "build"))

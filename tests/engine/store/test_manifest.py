"""Manifests and protocols: the keys on disk, older rows, and what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from db.enums import Precision, WeightsKind
from db.models import Artifact, Benchmark, Evaluation
from db.session import reading
from engine.benchmark import job as benchmarks
from engine.build import job
from engine.build.int8.layer_reports import load_layer_report
from engine.datasets.report import DatasetReport
from engine.errors import ArtifactMissing, DatasetInvalid, InvalidRequest
from engine.evaluation import job as evaluate
from engine.export import job as export
from engine.jobs.results import JobResult, artifact_digests
from engine.specs import (
    BenchmarkSpec,
    BuildSpec,
    CalibrationSpec,
    EvaluateSpec,
    ExportSpec,
    RangeCheckSpec,
    WeightsSpec,
)
from engine.store import artifacts
from engine.store.int8_report import BoundFacts
from engine.store.manifest import EMULATED, NATIVE, BuildManifest, ExportManifest
from engine.store.protocols import BenchmarkProtocol, EvaluationProtocol
from tests.support.tiny import PREPROCESS, Quiet, image_folder, labeled_by, tiny_se_model

HEADER = {"kind", "model_id", "weights", "format", "precision", "parent", "recipe"}
EXPORT = {"preprocess", "classes", "background", "via", "opset", "compute", "agreement", "versions"}
OF_A_FILE = {"scores", "original_sha256"}
BUILD = (HEADER | EXPORT | {"scores", "build"}) - {"via", "opset"}
INT8 = {
    *("format", "target", "activations", "weights", "squeezes_rewritten", "gates_rewritten"),
    *("equalisation", "kept_in_float", "constant", "noise_db_all_int8", "float_share"),
    *("bound", "macs_in_int8"),
}
CALIBRATION = {
    *("dataset", "dataset_digest", "images", "images_asked", "images_searched", "classes"),
    *("seed", "mode", "percentile", "keep_in_float", "float_share", "max_drop", "search_s"),
    "target",
}
BOUND = {
    *("max_drop", "measure", "held", "images", "drop", "drop_at_most", "expected_drop"),
    *("expected_at_most", "steps", "seconds", "steps_of_earlier_attempts"),
    "relative_speed",
}
EVALUATION = {
    *("batch", "provider", "threads", "preprocessing", "scoring", "runtime", "classes"),
    *("class_matching", "seen_before", "nodes"),
}
BENCHMARK = {
    *("warm_up_s", "windows", "reported_windows", "window_images_per_s", "window_s", "tolerance"),
    *("max_s", "processes", "input", "setting", "nodes", "load_1min_before", "during", "noise"),
    *("session", "rounds", "intervals", "machine", "speedometer", "waiting_cores", "speed_up"),
}
DURING = {
    *("samples", "every_s", "other_busy_cores", "most_other_busy_cores", "stolen_cores", "mhz"),
    *("load_1min", "others", "watching_cores"),
}


@pytest.fixture
def spec(url: str, tmp_path: Path) -> ExportSpec:
    labeled_by(tiny_se_model(), image_folder(tmp_path / "set"), url)
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny_se_model(), path)
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    return ExportSpec(model_id="onnx/tiny", weights=weights, preprocess=PREPROCESS.to_dict())


def on_disk(artifact: Artifact) -> dict[str, Any]:
    path = artifacts.folder_of(artifact.digest) / artifacts.MANIFEST_FILE
    return json.loads(path.read_text())


def built(url: str, folder: Path, asked: BuildSpec) -> Artifact:
    digest = job.run(asked.to_json(), Quiet(url, folder))["artifact"]
    return artifacts.find_by_digest(digest, url)


def test_what_is_written_has_the_keys_of_before_and_reads_back_the_same(
    url: str, tmp_path: Path, spec: ExportSpec
) -> None:
    made = export.run(spec.to_json(), Quiet(url, tmp_path / "export"))
    assert set(made) == {"artifact", "reused", "peak_rss_mb"}
    exported = artifacts.find_by_digest(made["artifact"], url)
    assert set(on_disk(exported)) == HEADER | EXPORT | OF_A_FILE
    assert ExportManifest.from_artifact(exported).dump() == exported.manifest == on_disk(exported)

    fp32 = built(url, tmp_path / "fp32", BuildSpec(export=spec, precision=Precision.FP32))
    assert on_disk(fp32)["build"] == {"optimised": "onnxruntime basic level"}

    calibration = CalibrationSpec(dataset="tiny", images=40, max_drop=50.0)
    int8_spec = BuildSpec(export=spec, precision=Precision.INT8, calibration=calibration)
    int8 = built(url, tmp_path / "int8", int8_spec)
    stored = on_disk(int8)
    assert set(stored) == BUILD
    assert set(stored["build"]) == {"quantisation", "calibration"}
    assert set(stored["build"]["quantisation"]) == INT8
    assert set(stored["build"]["quantisation"]["bound"]) == BOUND
    assert set(stored["build"]["calibration"]) == CALIBRATION
    manifest = BuildManifest.from_artifact(int8)
    assert manifest.dump() == int8.manifest == stored
    details = manifest.build
    assert details.calibration is not None
    assert (details.calibration.images, details.calibration.images_searched) == (40, 80)
    assert details.quantization is not None
    assert details.quantization.bound is not None
    assert details.quantization.bound.held
    report = load_layer_report(int8.digest)
    path = artifacts.folder_of(int8.digest) / artifacts.REPORT_FILE
    assert report is not None
    assert json.dumps(report.dump(), indent=1) == path.read_text()
    assert list(json.loads(path.read_text())) == [
        "macs_in_int8",
        "layers",
        "changed_classes",
        "stages",
    ]

    checked = RangeCheckSpec(dataset="tiny", images=20)
    half = BuildSpec(export=spec, precision=Precision.FP16, range_check=checked)
    fp16 = built(url, tmp_path / "fp16", half)
    assert set(fp16.manifest["build"]) == {"execution", "execution_why", "half"}
    assert set(fp16.manifest["build"]["half"]) == {
        *("kept_in_float", "checked", "largest", "agreement")
    }
    assert BuildManifest.from_artifact(fp16).dump() == on_disk(fp16)

    asked = EvaluateSpec(artifact=int8.digest, dataset="tiny")
    number = evaluate.run(asked.to_json(), Quiet(url, tmp_path / "evaluate"))["evaluation"]
    quick = {"window_s": 0.05, "max_s": 1, "tolerance": 0.5, "threads": 1}
    speed = BenchmarkSpec.model_validate({"artifact": int8.digest, **quick})
    measured = benchmarks.run(speed.to_json(), Quiet(url, tmp_path / "benchmark"))
    assert set(measured) == {"benchmark", "benchmarks", "images_per_s", "stable"}
    with reading(url) as session:
        evaluation = session.get_one(Evaluation, number)
        timed = session.get_one(Benchmark, measured["benchmark"])
    assert set(evaluation.protocol) == EVALUATION
    assert set(evaluation.protocol["seen_before"]) == {"calibrated", "searched", "images", "of"} | {
        "rest"
    }
    assert EvaluationProtocol.from_row(evaluation).dump() == evaluation.protocol
    assert set(timed.protocol) == BENCHMARK
    assert set(timed.protocol["during"]) == DURING
    again = json.loads(json.dumps(BenchmarkProtocol.from_row(timed).dump()))
    assert again == timed.protocol


def test_manifests_of_earlier_versions_are_read() -> None:
    old = {
        "classes": 1000,
        "weights": {"digest": "a"},
        "build": {"execution": "emulated on CPU: x"},
    }
    manifest = BuildManifest.from_artifact(Artifact(digest="d" * 64, manifest=old))
    assert manifest.dump() == old
    assert (manifest.fixed_batch, manifest.background, manifest.notes) == (None, None, [])
    assert (manifest.compute.gmacs, manifest.quantized, manifest.weights.origin) == (None,) * 3
    assert manifest.build.execution_kind == EMULATED
    assert BuildManifest().build.execution_kind == NATIVE
    first = EvaluationProtocol.from_row(Evaluation(id=1, protocol={"batch": 16}))
    assert (first.overlap_text, first.class_matching, first.without_a_right_answer) == (
        None,
    ) * 2 + (0,)
    plain = BenchmarkProtocol.from_row(Benchmark(id=1, protocol={"windows": 3}))
    assert (plain.processes, plain.reported_windows, plain.interference_text) == (1, 1, None)
    assert DatasetReport.read({}, "it", DatasetInvalid).corrupt == 0


def test_a_constraint_without_margins_has_no_estimated_drop() -> None:
    facts = {"max_drop": 1.0, "held": True, "drop": 0.0, "drop_at_most": 0.9, "images": 700}
    bound = BoundFacts.model_validate(facts)
    assert bound.sentence() == (
        "max drop of top-1 1 pp, met: drop 0.0 pp, at most 0.9 on 700 images"
    )
    later = BoundFacts.model_validate(facts | {"expected_drop": 0.1, "expected_at_most": 0.2})
    assert later.sentence().endswith("; estimated from score margins: 0.1, at most 0.2")


def test_keys_of_later_versions_are_kept() -> None:
    new = {"classes": 4, "compute": {"gmacs": 1.5, "watts": 3}, "signed_by": ["a"]}
    assert ExportManifest.from_artifact(Artifact(digest="d" * 64, manifest=new)).dump() == new


def test_what_a_build_takes_over_from_its_export() -> None:
    stored = {
        **{"preprocess": {"crop": 8}, "classes": 4, "background": None, "compute": {"gmacs": 1.0}},
        **{"scores": "logits", "quantised": {"layers": 1, "of": 2, "overflows": False}},
        **{"batch": 2, "notes": ["x"], "weights_key": "ema"},
    }
    manifest = ExportManifest.model_validate({**stored, "via": "torch", "opset": 18, "kind": "e"})
    assert manifest.inherited() == stored


@pytest.mark.parametrize(
    ("manifest", "key"),
    [({"classes": "many"}, "classes"), ({"build": {"half": 3}}, "build.half"), ([1], "it")],
)
def test_a_damaged_manifest_gives_one_sentence(manifest: Any, key: str) -> None:
    with pytest.raises(ArtifactMissing) as caught:
        BuildManifest.from_artifact(Artifact(digest="d" * 64, manifest=manifest))
    assert str(caught.value).startswith(
        f"The manifest of artifact dddddddddddd is damaged: {key}: "
    )
    assert "\n" not in str(caught.value)


def test_a_manifest_without_preprocessing_is_not_taken_for_the_usual_one() -> None:
    with pytest.raises(ArtifactMissing, match="has no preprocessing"):
        artifacts.preprocess_of(Artifact(digest="d" * 64, manifest={"classes": 4}))


def test_damaged_protocols_results_and_reports_give_one_sentence(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^The protocol of benchmark 7 is damaged: windows: "):
        BenchmarkProtocol.from_row(Benchmark(id=7, protocol={"windows": "x"}))
    with pytest.raises(InvalidRequest, match=r"^The result of this job is damaged: benchmark: "):
        JobResult.from_stored({"benchmark": "x"})
    folder = artifacts.folder_of("e" * 64)
    folder.mkdir(parents=True)
    (folder / artifacts.REPORT_FILE).write_text('{"layers": [')
    with pytest.raises(ArtifactMissing, match=r"^report.json cannot be read: it is not JSON \("):
        load_layer_report("e" * 64)
    (folder / artifacts.REPORT_FILE).write_text('{"layers": [{}]}')
    with pytest.raises(ArtifactMissing, match=r"^report.json of artifact e+ is damaged: "):
        load_layer_report("e" * 64)


def test_results_of_jobs_are_read_and_written_as_before() -> None:
    assert JobResult(artifact="a", reused=True).dump() == {"artifact": "a", "reused": True}
    assert JobResult(evaluation=3, reused=False, top1=None).dump() == {
        **{"evaluation": 3, "reused": False, "top1": None}
    }
    assert artifact_digests([None, {"artifact": "a"}, {"benchmark": 2}]) == ["a"]
    peak = {"environment": "e", "threads": [1, 2], "gmacs_per_s": {"fp32": 9.0}}
    assert JobResult.from_stored(peak).threads == [1, 2]

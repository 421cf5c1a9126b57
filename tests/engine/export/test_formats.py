"""TorchScript beside ONNX: loadable, equal, without a trace of the machine that wrote it."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from db.enums import Precision, WeightsKind
from engine.common.digests import data_digest
from engine.errors import ArtifactMissing, InvalidRequest
from engine.export import job as export
from engine.export.torch_export import score_function
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.specs import BuildSpec, ExportSpec, WeightsSpec
from engine.store import artifacts
from tests.support.tiny import Quiet

RANDOM = WeightsSpec(kind=WeightsKind.RANDOM)
SCRIPT = ExportSpec(model_id="demo/senet", weights=RANDOM, format="torchscript")


def test_torchscript_is_loadable_and_equal_at_any_batch(url: str, tmp_path: Path) -> None:
    import torch

    from engine.checkpoints.registry import build_module

    result = export.run(SCRIPT.to_json(), Quiet(url, tmp_path / "a"))
    assert result["peak_rss_mb"] > 50
    artifact = artifacts.find_by_digest(result["artifact"], url)
    folder = artifacts.folder_of(artifact.digest)
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.pt"]
    assert artifact.format == artifact.manifest["format"] == "torchscript"
    assert artifact.manifest["opset"] is None
    assert artifact.manifest["compute"]["gmacs"] > 0
    assert artifact.manifest["weights"]["origin"] == "random, seed 0"

    module = build_module("demo", "senet", seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(folder / "model.pt")
    for size in (1, 3):
        batch = np.random.default_rng(size).normal(size=(size, 3, 64, 64)).astype(np.float32)
        assert np.allclose(score_function(loaded)(batch), score_function(module)(batch), atol=1e-5)

    with zipfile.ZipFile(folder / "model.pt") as archive:
        held = b"".join(archive.read(name) for name in archive.namelist())
    assert b"site-packages" not in held
    with pytest.raises(ArtifactMissing, match="is TorchScript"):
        artifacts.model_path(artifact.digest)


def test_the_two_formats_are_two_artifacts_and_each_is_found_again(
    url: str, tmp_path: Path
) -> None:
    onnx = ExportSpec(model_id="demo/senet", weights=RANDOM)
    first = [
        export.run(spec.to_json(), Quiet(url, tmp_path / spec.format)) for spec in (onnx, SCRIPT)
    ]
    again = [
        export.run(spec.to_json(), Quiet(url, tmp_path / f"{spec.format}2"))
        for spec in (onnx, SCRIPT)
    ]
    assert first[0]["artifact"] != first[1]["artifact"]
    assert [a["artifact"] for a in again] == [f["artifact"] for f in first]
    assert all(a["reused"] for a in again)


def test_a_usual_export_keeps_the_recipe_it_had_before_there_was_a_choice() -> None:
    spec = ExportSpec(model_id="timm/seresnet50")
    before = {"model_id": "timm/seresnet50", "preprocess": None, "background": None}
    assert spec.fingerprint() == data_digest({**before, "weights": spec.weights.fingerprint()})
    assert SCRIPT.fingerprint() != SCRIPT.model_copy(update={"format": "onnx"}).fingerprint()
    paddle = spec.model_copy(update={"via": "paddle2onnx"})
    assert paddle.fingerprint() != spec.fingerprint()


def test_an_onnx_file_never_becomes_torchscript(url: str, tmp_path: Path) -> None:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(tmp_path / "a.onnx"))
    spec = ExportSpec(model_id="onnx/a", weights=weights, format="torchscript")
    with pytest.raises(InvalidRequest, match="cannot be exported to TorchScript"):
        export.run(spec.to_json(), Quiet(url, tmp_path / "a"))


def test_nothing_is_built_or_measured_from_torchscript(url: str) -> None:
    with pytest.raises(ValidationError, match="start from an ONNX export"):
        BuildSpec(export=SCRIPT, precision=Precision.FP32)
    request = RunRequest(
        model_id="demo/senet",
        weights=RANDOM,
        format="torchscript",
        tasks=(Task.EXPORT, Task.BENCHMARK),
    )
    assert any("need format onnx" in problem for problem in plan(request, url).problems)
    alone = request.model_copy(update={"tasks": (Task.EXPORT,)})
    assert plan(alone, url).problems == ()
    assert "to TorchScript" in plan(alone, url).steps[0]


def test_paddle2onnx_writes_no_torchscript() -> None:
    with pytest.raises(ValidationError, match="writes ONNX only"):
        ExportSpec(model_id="ppcls/seresnet18", format="torchscript", via="paddle2onnx")

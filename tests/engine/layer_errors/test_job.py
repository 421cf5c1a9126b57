"""The job of the layer errors, the command, and what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from db.models import Artifact
from engine.build.int8.channel_factors import load_factors
from engine.datasets.registration import find_dataset
from engine.errors import ArtifactMissing, DatasetInvalid, InvalidRequest
from engine.layer_errors import job
from engine.layer_errors.records import load_layer_errors, path_of
from engine.layer_errors.requests import calibration_dataset, require_int8
from engine.specs import LayersSpec
from engine.store import artifacts
from tests.support.int8_builds import int8_build
from tests.support.tiny import Quiet, store_build, tiny_se_model


@pytest.fixture
def int8(url: str, tmp_path: Path) -> Artifact:
    return int8_build(url, tmp_path, softmax=True, bias_correction="accurate")


def params(artifact: Artifact, url: str, digest: str | None = None) -> dict[str, object]:
    dataset = find_dataset("tiny", url)
    return LayersSpec(
        artifact=artifact.digest,
        dataset="tiny",
        dataset_digest=digest or dataset.digest,
        images=2,
    ).to_json()


def test_the_job_stores_the_errors_of_a_build(int8: Artifact, url: str, tmp_path: Path) -> None:
    assert load_layer_errors(int8.digest) is None
    assert int8.manifest["build"]["calibration"]["bias_correction"] == "accurate"
    assert calibration_dataset(int8, url).name == "tiny"
    job.run(params(int8, url), Quiet(url, tmp_path / "one"))
    errors = load_layer_errors(int8.digest)
    assert errors is not None
    assert (errors.images, errors.findings, errors.has_reference) == (2, [], True)
    assert set(errors.runtimes) == {"onnxruntime", "openvino"}
    # The appended softmax is left out: the last row is that of the scores.
    assert errors.tensors[-1].layers == ["fc"]
    assert errors.tensors[-1].single_db is not None
    assert errors.tensors[-1].single_db > 20

    # A build of a version that did not store the factors: the runtimes only.
    folder = artifacts.folder_of(int8.digest)
    (folder / artifacts.FACTORS_FILE).rename(tmp_path / "factors")
    quiet = Quiet(url, tmp_path / "two")
    job.run(params(int8, url), quiet)
    errors = load_layer_errors(int8.digest)
    assert errors is not None
    assert not errors.has_reference
    assert any("build it again" in said for said in quiet.said)

    shutil.copy(tmp_path / "tiny.onnx", folder / artifacts.FACTORS_FILE)
    with pytest.raises(ArtifactMissing, match="is damaged: build it again"):
        load_factors(folder)
    path_of(int8.digest).write_text("{")
    with pytest.raises(ArtifactMissing, match="cannot be read: it is not JSON"):
        load_layer_errors(int8.digest)
    with pytest.raises(DatasetInvalid, match="registered again"):
        job.run(params(int8, url, "other"), quiet)


def test_a_build_without_integers_is_refused(url: str) -> None:
    artifact = store_build(url, tiny_se_model())
    with pytest.raises(InvalidRequest, match="no quantized layers: choose an int8 build"):
        require_int8(artifact)

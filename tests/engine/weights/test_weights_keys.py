"""Which of several sets of weights is part of what a build is; so is the number of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from db.enums import WeightsKind
from db.models import Artifact, Model
from db.session import reading
from engine.catalog.models import find_model
from engine.checkpoints.registry import build_module
from engine.errors import CheckpointRejected
from engine.export import job as export
from engine.export.weights_registration import register
from engine.runs.identified import with_file_digest
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import ExportSpec, WeightsSpec
from engine.store import artifacts
from tests.support.tiny import Quiet

SMALL = "timm/test_resnet"
PREPROCESS = {"resize": None, "crop": 32}


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A file of two sets: `model` of seed 1, `model_ema` of seed 2."""
    sets = {
        name: build_module("timm", "test_resnet", seed=seed).state_dict()
        for name, seed in (("model", 1), ("model_ema", 2))
    }
    torch.save({"epoch": 3, **sets}, tmp_path / "both.pth")
    return tmp_path / "both.pth"


def exported(url: str, folder: Path, path: Path, key: str | None = None) -> Artifact:
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path), key=key)
    spec = ExportSpec(model_id=SMALL, weights=weights, preprocess=PREPROCESS)
    made = export.run(spec.to_json(), Quiet(url, folder))
    return artifacts.find_by_digest(made["artifact"], url)


def scores(artifact: Artifact) -> np.ndarray:
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    return OnnxSession(artifacts.model_path(artifact.digest), "CPUExecutionProvider", 1).run(image)


def test_recipes_of_before_there_were_keys_mean_what_they_did() -> None:
    file = WeightsSpec(kind=WeightsKind.FILE, path="/a/b.pth", sha256="ab" * 32)
    assert WeightsSpec().fingerprint()[:16] == "90d77d480c73583a"
    assert file.fingerprint()[:16] == "3ba06f124aad42fe"
    assert (
        ExportSpec(model_id="timm/seresnet50", weights=file).fingerprint()[:16]
        == "1366c629eee06e50"
    )
    assert file.model_copy(update={"key": "ema"}).fingerprint() != file.fingerprint()


def test_two_sets_of_one_file_are_two_models(url: str, tmp_path: Path, both: Path) -> None:
    usual = exported(url, tmp_path / "a", both)
    average = exported(url, tmp_path / "b", both, "model_ema")
    assert usual.weights_digest != average.weights_digest
    assert not np.allclose(scores(usual), scores(average))
    named = exported(url, tmp_path / "c", both, "model")
    np.testing.assert_array_equal(scores(usual), scores(named))
    (told,) = usual.manifest["notes"]
    assert "model is used; use model_ema instead with `--weights-key model_ema`" in told
    assert "notes" not in average.manifest
    assert average.manifest["weights_key"] == "model_ema"
    request = RunRequest(
        model_id=SMALL,
        weights=WeightsSpec(kind=WeightsKind.FILE, path=str(both), key="model_ema"),
        tasks=(Task.EXPORT,),
    )
    assert with_file_digest(request).weights.key == "model_ema"
    assert "the weights of both.pth, set model_ema" in plan(request, url).steps[0]


def test_a_registration_remembers_its_set(url: str, tmp_path: Path, both: Path) -> None:
    said: list[str] = []
    kept = register(both, find_model(SMALL), url, "model_ema", said.append)
    assert (kept.key, said) == ("model_ema", [])
    request = with_file_digest(RunRequest(model_id=SMALL, tasks=(Task.EXPORT,)))
    assert request.weights.key == "model_ema"
    again = register(both, find_model(SMALL), url, None, said.append)
    assert again.identity != kept.identity
    assert "model is used" in said[0]
    other = with_file_digest(RunRequest(model_id=SMALL, tasks=(Task.EXPORT,)))
    assert other.weights.fingerprint() != request.weights.fingerprint()


def test_a_network_of_other_classes_is_said_and_leaves_the_models_figures_alone(
    url: str, tmp_path: Path
) -> None:
    state = build_module("timm", "test_resnet", seed=1, classes=7).state_dict()
    torch.save({f"module.{key}": t for key, t in state.items()}, tmp_path / "seven.pth")
    made = exported(url, tmp_path / "a", tmp_path / "seven.pth")
    assert made.manifest["classes"] == 7
    assert "its head has 7 classes" in made.manifest["notes"][0]
    assert scores(made).shape == (1, 7)
    with reading(url) as session:
        row = session.get(Model, SMALL)
    assert row is not None
    assert (row.compute_gmacs, row.params_m) == (None, None)
    with pytest.raises(CheckpointRejected, match=r"has 7 classes.*--weights"):
        register(tmp_path / "seven.pth", find_model(SMALL), url)

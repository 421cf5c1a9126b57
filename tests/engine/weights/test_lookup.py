"""Weights on this machine: registered by hand, recorded digests, and never the wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from db.enums import WeightsKind
from db.models import Weights
from db.session import reading
from engine.catalog.models import CatalogModel, find_model
from engine.cli.main import main
from engine.common.digests import file_digest
from engine.config import settings
from engine.errors import CheckpointRejected, InvalidRequest, WeightsUnavailable
from engine.export import job as export
from engine.export.weights_registration import register
from engine.runs.identified import with_file_digest
from engine.runs.plan import plan
from engine.runs.request import RunRequest, Task
from engine.specs import ExportSpec, WeightsSpec
from engine.store import artifacts
from engine.weights.cache import checked_digest, note_of
from engine.weights.lookup import all_downloaded, find_weights, remote_of
from engine.weights.registry import find_registered, remove_registration
from tests.support.tiny import Quiet

SMALL = "timm/test_resnet"
PRETRAINED = WeightsSpec()


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def checkpoint(path: Path, seed: int, model: CatalogModel | None = None) -> Path:
    """The weights of a network as a file."""
    from safetensors.torch import save_file

    from engine.checkpoints.registry import build_module

    model = model or find_model(SMALL)
    save_file(build_module(model.source, model.architecture, seed=seed).state_dict(), path)
    return path


def test_a_registered_file_serves_as_the_pretrained_weights(url: str, tmp_path: Path) -> None:
    model = find_model(SMALL)
    file = checkpoint(tmp_path / "mine.safetensors", seed=1)
    kept = register(file, model, url)
    digest = file_digest(file)
    file.unlink()
    assert find_weights(model, PRETRAINED, quiet) == kept
    assert kept.digest == digest == file_digest(kept.path)
    with reading(url) as session:
        row = session.get(Weights, digest)
    assert row is not None
    assert row.origin == "registered by hand: mine.safetensors"

    request = with_file_digest(RunRequest(model_id=SMALL, tasks=(Task.EXPORT,)))
    assert request.weights.sha256 == digest
    assert "registered by hand: mine.safetensors" in plan(request, url).steps[0]
    spec = ExportSpec(model_id=SMALL, weights=request.weights)
    made = export.run(spec.to_json(), Quiet(url, tmp_path / "a"))["artifact"]
    manifest = artifacts.find_by_digest(made, url).manifest
    assert manifest["weights"] == {
        "digest": digest,
        "kind": "pretrained",
        "origin": "registered by hand: mine.safetensors",
    }


def test_registering_again_replaces_and_is_another_recipe(url: str, tmp_path: Path) -> None:
    model = find_model(SMALL)
    request = RunRequest(model_id=SMALL, tasks=(Task.EXPORT,))
    asked = []
    for seed in (1, 2):
        register(checkpoint(tmp_path / "mine.safetensors", seed), model, url)
        asked.append(with_file_digest(request).weights)
    assert asked[0].fingerprint() != asked[1].fingerprint() != PRETRAINED.fingerprint()
    with pytest.raises(CheckpointRejected, match="Other weights of timm/test_resnet"):
        find_weights(model, asked[0], quiet)
    folder = settings().home / "weights" / "timm" / "registered" / "test_resnet"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [str(asked[1].sha256), "registration.json"]
    )
    remove_registration(model)
    assert with_file_digest(request).weights == PRETRAINED
    with pytest.raises(WeightsUnavailable):
        find_weights(model, PRETRAINED, quiet)
    with pytest.raises(InvalidRequest, match="No weights are registered"):
        remove_registration(model)


def test_a_registered_file_that_changes_or_goes_is_noticed(url: str, tmp_path: Path) -> None:
    model = find_model(SMALL)
    kept = register(checkpoint(tmp_path / "mine.safetensors", seed=1), model, url)
    with kept.path.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(CheckpointRejected, match=r"has changed.*weights add FILE --model"):
        find_weights(model, PRETRAINED, quiet)
    kept.path.unlink()
    with pytest.raises(CheckpointRejected, match="is missing"):
        find_weights(model, PRETRAINED, quiet)


@pytest.mark.parametrize("model_id", ["onnx/mine", "demo/senet"])
def test_models_that_carry_their_weights_take_none(url: str, tmp_path: Path, model_id: str) -> None:
    with pytest.raises(InvalidRequest, match="takes no registered weights"):
        register(tmp_path / "a.pth", find_model(model_id), url)


def test_a_file_of_another_network_is_not_registered(url: str, tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "mine.safetensors", seed=1)
    model = find_model("timm/legacy_seresnet18")
    with pytest.raises(CheckpointRejected, match="legacy_seresnet18"):
        register(file, model, url)
    assert find_registered(model) is None
    assert not (settings().home / "weights").exists()


def test_a_name_with_a_path_in_it_finds_nothing(home: Path) -> None:
    (home / "registration.json").parent.mkdir(parents=True, exist_ok=True)
    (home / "registration.json").write_text('{"file": "a", "sha256": "b"}')
    with pytest.raises(InvalidRequest, match="it looks like a path"):
        find_model("timm/../../..")
    outside = CatalogModel(source="timm", name="../../..", architecture="../../..")
    assert find_registered(outside) is None


def test_the_commands_add_list_and_remove(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = checkpoint(tmp_path / "mine.safetensors", seed=1)
    assert main(["weights", "add", str(file), "--model", SMALL, "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    assert added["sha256"] == file_digest(file)
    assert main(["weights", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["model"], r["origin"], r["sha256"]) for r in rows] == [
        (SMALL, "registered by hand", added["sha256"])
    ]
    assert main(["weights", "remove", "--model", SMALL]) == 0
    assert main(["weights", "add", str(tmp_path / "none.pth"), "-m", SMALL]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_the_digest_of_a_cached_file_is_recorded_and_a_change_noticed(home: Path) -> None:
    model = find_model("timm/legacy_seresnet18")
    path = remote_of(model).target
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    found = find_weights(model, PRETRAINED, quiet)
    assert found is not None
    assert found.digest == file_digest(path)
    assert note_of(path).read_text() == f"{found.digest}  {path.name}\n"
    assert list(all_downloaded()) == [(model.id, path)]
    path.write_bytes(b"others")
    with pytest.raises(CheckpointRejected, match="has changed since its first use"):
        find_weights(model, PRETRAINED, quiet)
    note_of(path).unlink()
    assert checked_digest(path) == file_digest(path)


def test_a_file_put_there_by_hand_must_be_what_its_name_says(home: Path) -> None:
    model = find_model("mmcls/seresnet50")
    path = remote_of(model).target
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointRejected, match=r"ae206104 as in its name"):
        find_weights(model, PRETRAINED, quiet)


def test_a_file_given_for_a_run_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"x")
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(tmp_path / "w.pth"))
    request = with_file_digest(RunRequest(model_id=SMALL, weights=weights))
    assert request.weights.sha256 == file_digest(tmp_path / "w.pth")

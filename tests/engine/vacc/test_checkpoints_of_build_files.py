"""Which network the checkpoint of a build file holds: its tensors say it before any name does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from db.enums import WeightsKind
from engine.errors import VaccFileInvalid
from engine.specs import WeightsSpec
from engine.vacc.build_file import BuildFile
from engine.vacc.requests import build_request, model_in_file
from engine.weights.identify import Identified, from_answer, identify
from tests.support.build_files import TODAY, read


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked into here: the process that does it otherwise takes seconds to start."""
    from engine.checkpoints.identify_process import identify_checkpoint

    def identify(path: Path | None, key: str | None = None, guesses: Sequence[str] = ()) -> Any:
        asked = {"path": path and str(path), "key": key, "guesses": list(guesses)}
        return from_answer(json.loads(json.dumps(identify_checkpoint(asked))))

    monkeypatch.setattr("engine.vacc.requests.identify", identify)


def asking_for(checkpoint: object, name: str = "net") -> BuildFile:
    text = TODAY.replace("/models/legacy_seresnet18.onnx", str(checkpoint))
    return replace(read(text), name=name)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("checkpoint", "name", "model_id"),
    [
        ("seresnet50_224.pt", "x", "timm/seresnet50"),
        ("legacy_senet154.pth", "x", "timm/legacy_senet154"),
        ("senet154.pth", "x", "ppcls/senet154"),
        ("mobilenetv3_small_100.safetensors", "x", "timm/mobilenetv3_small_100"),
        ("resnet18-f37072fd.pth", "x", "timm/resnet18"),
        ("SE_ResNet18_vd_pretrained.pdparams", "x", "ppcls/seresnet18"),
        ("se-resnet50_batch256_imagenet_20200804-ae206104.pth", "x", "mmcls/seresnet50"),
        ("inference.pdiparams", "seresnet50", "ppcls/seresnet50"),
        ("plain.pdparams", "seresnext50_32x4d", "ppcls/seresnext50_32x4d"),
        ("plain.pth", "seresnet50", "timm/seresnet50"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_says_its_network_by_its_name(
    tmp_path: Path, checkpoint: str, name: str, model_id: str
) -> None:
    path = tmp_path / checkpoint
    path.write_bytes(b"x")
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(path))
    assert model_in_file(asking_for(path, name)) == (model_id, weights, ())


def state_of(model_id: str) -> dict[str, torch.Tensor]:
    """Zeros in the shapes of a network, under the names of its own framework."""
    from engine.checkpoints.registry import build_on_meta

    source, _, name = model_id.partition("/")
    state = {k: torch.zeros(t.shape) for k, t in build_on_meta(source, name).state_dict().items()}
    return {_mmcls_name(k): t for k, t in state.items()} if source == "mmcls" else state


def _mmcls_name(key: str) -> str:
    if key.startswith("fc."):
        return f"head.{key}"
    return "backbone." + re.sub(r"\.se\.fc([12])\.", r".se_layer.conv\1.conv.", key)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("held", "checkpoint", "name"),
    [
        ("timm/legacy_seresnet18", "plain.pth", "seresnet50"),
        ("timm/legacy_seresnet18", "seresnet50.pth", "seresnet50"),
        ("mmcls/seresnet50", "seresnet50.pth", "seresnet50"),
        ("mmcls/seresnet50", "SE_ResNet18_vd_pretrained.pth", "x"),
        ("timm/test_resnet", "plain.pth", "test_resnet"),
        ("timm/test_resnet", "test_resnet.pth", "seresnet50"),
    ],
)
def test_a_checkpoint_says_its_network_by_its_tensors(
    tmp_path: Path, held: str, checkpoint: str, name: str
) -> None:
    state = {f"module.{key}": tensor for key, tensor in state_of(held).items()}
    torch.save({"state_dict": state}, tmp_path / checkpoint)
    model_id, weights, told = model_in_file(asking_for(tmp_path / checkpoint, name))
    assert (model_id, weights.path) == (held, str(tmp_path / checkpoint))
    assert told[0] == f"{checkpoint} holds the weights of {held}."


@pytest.mark.usefixtures("in_process")
def test_a_name_that_stands_for_no_network_is_never_queued(tmp_path: Path) -> None:
    torch.save(state_of("timm/test_resnet"), tmp_path / "plain.pth")
    with pytest.raises(VaccFileInvalid, match=r"plain\.pth cannot be identified .* match no model"):
        model_in_file(asking_for(tmp_path / "plain.pth"))
    with pytest.raises(VaccFileInvalid, match=r"neither an existing file nor a model.*--model"):
        model_in_file(asking_for("plain"))


@pytest.mark.usefixtures("in_process")
def test_the_set_of_weights_is_chosen_by_the_file_or_the_option(tmp_path: Path) -> None:
    state = state_of("timm/test_resnet")
    both = {"model": dict(state), "model_ema": dict(state)}
    torch.save(both, tmp_path / "test_resnet.pth")
    file = asking_for(tmp_path / "test_resnet.pth")
    remark = model_in_file(file)[2][1]
    assert "model is used; use model_ema instead with `--weights-key model_ema`" in remark
    assert model_in_file(file, key="model_ema")[1].key == "model_ema"
    keyed = asking_for(f"{tmp_path}/test_resnet.pth\n  weights_key: model_ema")
    assert build_request(keyed).request.weights.key == "model_ema"
    with pytest.raises(VaccFileInvalid, match="--weights-key can be model or model_ema"):
        model_in_file(file, key="other")


def test_the_process_that_looks_into_a_file(tmp_path: Path) -> None:
    torch.save({"model.a": torch.ones(1)}, tmp_path / "x.pth")
    found = identify(tmp_path / "x.pth", guesses=["timm/test_resnet", "timm/nonesuch"])
    assert found == Identified(guesses=("timm/test_resnet",))


@pytest.mark.usefixtures("in_process")
def test_a_name_is_a_model_with_its_published_weights() -> None:
    for name, model_id in (
        ("timm/seresnet50", "timm/seresnet50"),
        ("senet154", "ppcls/senet154"),
        ("SE_ResNet18_vd", "ppcls/seresnet18"),
        ("resnet18", "timm/resnet18"),
    ):
        assert model_in_file(asking_for(name)) == (model_id, WeightsSpec(), ())
    with pytest.raises(VaccFileInvalid, match=r"does not exist: /models/legacy_seresnet18\.onnx"):
        model_in_file(read(TODAY))
    with pytest.raises(
        VaccFileInvalid, match=r"published weights of ppcls/seresnet18: `checkpoint:"
    ):
        model_in_file(asking_for("SE_ResNet18_vd_pretrained.pdparams"))

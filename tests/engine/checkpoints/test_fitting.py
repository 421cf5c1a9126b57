"""The weights of a network are found in a checkpoint, whatever wraps them and however many sets."""

from __future__ import annotations

import pytest
import torch

from engine.checkpoints.fitting import Fitted, fit
from engine.checkpoints.identify import identify_model
from engine.checkpoints.load_state import load_into
from engine.checkpoints.reading import Checkpoint
from engine.checkpoints.registry import build_module, build_on_meta
from engine.errors import CheckpointRejected
from tests.support.seeded_mmcls import seeded_state

pytestmark = pytest.mark.integration

SMALL = "test_resnet"
HEAD = "fc"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """The weights of a small network of timm."""
    return dict(build_module("timm", SMALL, seed=3).state_dict())


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


def fitted(state: State, key: str | None = None) -> Fitted:
    return fit(Checkpoint("x.pth", state, key), "timm", SMALL)


def with_classes(state: State, classes: int) -> State:
    weight = state[f"{HEAD}.weight"]
    return state | {
        f"{HEAD}.weight": weight[:classes].clone(),
        f"{HEAD}.bias": state[f"{HEAD}.bias"][:classes].clone(),
    }


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "model.",
        "net.",
        "timm_model.",
        "model.net.module._orig_mod.timm_model.",
        "lightning_module.anything.",
    ],
)
def test_whatever_is_before_every_key_is_taken_off(state: State, prefix: str) -> None:
    found = fitted(under(prefix, state))
    assert found.tensors.keys() == state.keys()
    assert all(torch.equal(found.tensors[key], state[key]) for key in state)
    assert (found.classes, found.remarks) == (None, ())


def test_what_lies_beside_the_network_is_said(state: State) -> None:
    beside = {"criterion.weight": torch.ones(5), "accuracy.counts": torch.ones(3, 3).int()}
    found = fitted({**under("model.", state), **beside})
    assert found.tensors.keys() == state.keys()
    assert "2 tensors outside model (criterion.weight, accuracy.counts)" in found.remarks[0]


def test_weights_beside_the_network_may_be_the_head_that_is_meant(state: State) -> None:
    both = {**under("backbone.", state), "classifier.weight": torch.ones(10, 32)}
    with pytest.raises(CheckpointRejected, match=r"classifier\.weight.*--weights-key backbone"):
        fitted(both)
    assert fitted(both, "backbone").tensors.keys() == state.keys()


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("model", "model_ema"), "model"),
        (("ema.module", "net"), "net"),
        (("teacher.backbone", "student.backbone"), "student.backbone"),
    ],
)
def test_two_networks_in_one_state_dict(state: State, names: tuple[str, str], taken: str) -> None:
    both: State = {}
    for number, name in enumerate(names, 1):
        both |= under(f"{name}.", {key: tensor + number for key, tensor in state.items()})
    found = fitted(both)
    assert torch.equal(found.tensors[f"{HEAD}.bias"], both[f"{taken}.{HEAD}.bias"])
    assert f"{taken} is used; use " in found.remarks[0]
    for name in names:
        chosen = fitted(both, name)
        assert torch.equal(chosen.tensors[f"{HEAD}.bias"], both[f"{name}.{HEAD}.bias"])
        assert chosen.remarks == ()
    with pytest.raises(CheckpointRejected, match=rf"no weights called 'else'.*{names[0]}"):
        fitted(both, "else")


def test_two_networks_with_no_telling_names_are_asked_for(state: State) -> None:
    both = {**under("encoder_q.", state), **under("encoder_k.", state)}
    with pytest.raises(CheckpointRejected, match=r"encoder_q and encoder_k.*--weights-key"):
        fitted(both)
    assert fitted(both, "encoder_k").tensors.keys() == state.keys()


def test_a_key_that_the_file_does_not_have_is_refused(state: State) -> None:
    with pytest.raises(CheckpointRejected, match=r"one set of weights.*omit --weights-key"):
        fitted(state, "state_dict_ema")


@pytest.mark.parametrize("classes", [2, 10, 999])
def test_the_number_of_classes_is_that_of_the_head(state: State, classes: int) -> None:
    given = with_classes(state, classes)
    found = fitted(under("module.", given))
    assert found.classes == classes
    assert f"its head has {classes} classes" in found.remarks[0]
    assert "published figures for 1,000 classes do not apply to these weights" in found.remarks[0]
    network = build_module("timm", SMALL, classes=found.classes)
    load_into(network, found.tensors, f"timm/{SMALL}")
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        whole = build_module("timm", SMALL, seed=3)(image)
        torch.testing.assert_close(network(image), whole[:, :classes])


def test_fine_tuned_networks_of_mmcls_and_paddle() -> None:
    mmcls = seeded_state("seresnet50")
    for key in ("head.fc.weight", "head.fc.bias"):
        mmcls[key] = mmcls[key][:10]
    found = fit(Checkpoint("x.pth", under("module.", mmcls)), "mmcls", "seresnet50")
    assert (found.classes, found.tensors["fc.weight"].shape[0]) == (10, 10)
    for source, architecture in (("mmcls", "seresnet50"), ("ppcls", "SE_ResNet18_vd")):
        network = build_on_meta(source, architecture, 10)
        assert network.state_dict()["fc.bias"].shape == (10,)


def test_what_differs_is_told_without_the_prefix(state: State) -> None:
    missing = {key: tensor for key, tensor in state.items() if key != f"{HEAD}.bias"}
    with pytest.raises(CheckpointRejected, match=rf"1 key is missing \({HEAD}\.bias\); give"):
        fitted(under("module.model.", missing))


def test_rows_are_recognized_in_wrapping_modules() -> None:
    state = dict(build_on_meta("timm", "legacy_seresnet18").state_dict())
    assert identify_model(under("_orig_mod.module.model.", state)) == "timm/legacy_seresnet18"
    both = {**under("model.", state), **under("model_ema.", state)}
    assert identify_model(both) == "timm/legacy_seresnet18"

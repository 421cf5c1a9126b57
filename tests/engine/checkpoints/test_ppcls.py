"""PaddleClas weights in timm's ResNet, against logits that Paddle computed."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch

from engine.checkpoints.identify import identify_model, model_id_of
from engine.checkpoints.load_state import load_into
from engine.checkpoints.ppcls_names import ARCHITECTURES, Layout, tensor_names
from engine.checkpoints.reading import read_checkpoint
from engine.checkpoints.registry import build_module, build_on_meta
from engine.errors import CheckpointRejected
from tests.support.fitted import fitted
from tests.support.seeded import (
    INPUT_SHAPES,
    LOGIT_STEP,
    names_digest,
    seeded_input,
    seeded_weights,
)

pytestmark = pytest.mark.integration

FAST = ("SE_ResNet18_vd", "SE_ResNeXt50_32x4d")
ALL = [pytest.param(a, marks=() if a in FAST else pytest.mark.slow) for a in ARCHITECTURES]


def paddle_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Shapes by structured name, as Paddle has them."""
    own = build_on_meta("ppcls", architecture).state_dict()
    shapes = {}
    for entry in tensor_names(architecture):
        shape = tuple(own[entry.timm].shape)
        shapes[entry.structured] = shape if entry.layout == Layout.SAME else (shape[1], shape[0])
    return shapes


def seeded_state(architecture: str) -> dict[str, torch.Tensor]:
    """The weights that the oracle gave to Paddle's network."""
    return {
        name: torch.from_numpy(seeded_weights(name, shape))
        for name, shape in paddle_shapes(architecture).items()
    }


def meta_state(architecture: str) -> dict[str, torch.Tensor]:
    return {
        name: torch.empty(shape, device="meta")
        for name, shape in paddle_shapes(architecture).items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_names_and_the_shapes_are_those_of_paddle(recorded: Path, architecture: str) -> None:
    oracle = json.loads((recorded / "ppcls.json").read_text())["models"][architecture]
    shapes = paddle_shapes(architecture)
    rows = [
        (entry.structured, entry.parameter, list(shapes[entry.structured]))
        for entry in tensor_names(architecture)
    ]
    assert len(rows) == oracle["tensors"]
    assert names_digest(rows) == oracle["names_sha256"]


@pytest.mark.parametrize("architecture", ALL)
def test_logits_are_those_of_paddle(recorded: Path, architecture: str) -> None:
    oracle = json.loads((recorded / "ppcls.json").read_text())["models"][architecture]
    model_id = model_id_of("ppcls", architecture)
    state = seeded_state(architecture)
    network = build_module("ppcls", architecture)
    load_into(network, fitted("ppcls", architecture, state), model_id)
    for shape, expected in zip(INPUT_SHAPES, oracle["logits"], strict=True):
        with torch.no_grad():
            logits = network(torch.from_numpy(seeded_input(shape)))[0, ::LOGIT_STEP]
        scale = max(abs(value) for value in expected)
        torch.testing.assert_close(logits, torch.tensor(expected), rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_names_are_recognized(architecture: str) -> None:
    state = meta_state(architecture)
    assert identify_model(state) == model_id_of("ppcls", architecture)
    by_parameter = {e.parameter: state[e.structured] for e in tensor_names(architecture)}
    assert identify_model(by_parameter) == model_id_of("ppcls", architecture)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("SE_ResNeXt50_vd_32x4d", "SE_ResNet50_vd"),  # the same keys, other shapes
        ("SE_ResNet50_vd", "SE_ResNeXt50_vd_32x4d"),
        ("SE_ResNet34_vd", "SE_ResNet18_vd"),
        ("SENet154_vd", "SE_ResNet18_vd"),
    ],
)
def test_a_file_of_another_row_is_refused_by_name(given: str, asked: str) -> None:
    sentence = f"is of {model_id_of('ppcls', given)}, not of {model_id_of('ppcls', asked)}"
    with pytest.raises(CheckpointRejected, match=sentence):
        fitted("ppcls", asked, meta_state(given))


def test_missing_and_unexpected_keys_are_named() -> None:
    state = meta_state("SE_ResNet18_vd")
    del state["out.bias"]
    state["neck.weight"] = torch.ones(1)
    with pytest.raises(CheckpointRejected) as caught:
        fitted("ppcls", "SE_ResNet18_vd", state)
    assert "1 key is missing (out.bias)" in str(caught.value)
    assert "1 key is unexpected (neck.weight)" in str(caught.value)


def test_a_linear_layer_in_other_dimensions_is_refused() -> None:
    state = meta_state("SE_ResNet18_vd")
    state["out.weight"] = torch.ones(512)
    with pytest.raises(CheckpointRejected, match=r"out\.weight has 1 dimensions"):
        fitted("ppcls", "SE_ResNet18_vd", state)


def test_the_number_of_classes_is_named() -> None:
    state = meta_state("SE_ResNet18_vd")
    state["out.weight"] = torch.empty(512, 10, device="meta")
    state["out.bias"] = torch.empty(10, device="meta")
    adapted = fitted("ppcls", "SE_ResNet18_vd", state)
    with pytest.raises(CheckpointRejected, match="has 10 classes, ppcls/seresnet18 has 1000"):
        load_into(build_on_meta("ppcls", "SE_ResNet18_vd"), adapted, "ppcls/seresnet18")


def test_pdparams_and_pdiparams_give_the_same_network(tmp_path: Path) -> None:
    """The stream alone: names come from the architecture that its shapes fit."""
    state = seeded_state("SE_ResNet18_vd")
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(arrays, protocol=4))
    entries = sorted(tensor_names("SE_ResNet18_vd"), key=lambda entry: entry.parameter)
    with (tmp_path / "x.pdiparams").open("wb") as stream:
        for entry in entries:
            stream.write(stream_tensor(state[entry.structured]))
    structured = read_checkpoint(tmp_path / "x.pdparams").tensors
    unnamed = read_checkpoint(tmp_path / "x.pdiparams").tensors
    left = fitted("ppcls", "SE_ResNet18_vd", structured)
    right = fitted("ppcls", "SE_ResNet18_vd", unnamed)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_a_stream_of_other_dimensions_builds_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many tensors as one of the networks has; building those takes seconds."""
    monkeypatch.setattr("engine.checkpoints.registry.expected_shapes", pytest.fail)
    with (tmp_path / "x.pdiparams").open("wb") as stream:
        for _ in tensor_names("SE_ResNet50_vd"):
            stream.write(stream_tensor(torch.ones(2)))
    with pytest.raises(CheckpointRejected, match="fits no PaddleClas model"):
        read_checkpoint(tmp_path / "x.pdiparams")


def stream_tensor(tensor: torch.Tensor) -> bytes:
    """One tensor as Paddle's inference parameters hold it."""
    desc = b"\x08\x05" + b"".join(b"\x10" + varint(size) for size in tensor.shape)
    return bytes(16) + struct.pack("<i", len(desc)) + desc + tensor.numpy().tobytes()


def varint(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])

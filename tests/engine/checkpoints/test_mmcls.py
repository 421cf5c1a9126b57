"""mmcls checkpoints in timm's networks, against logits that mmpretrain computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.checkpoints.identify import identify_model
from engine.checkpoints.load_state import load_into
from engine.checkpoints.registry import build_module, build_on_meta
from engine.errors import CheckpointRejected
from tests.support.fitted import fitted
from tests.support.seeded import INPUT_SHAPES, LOGIT_STEP, names_digest, seeded_input
from tests.support.seeded_mmcls import mmcls_shapes, seeded_state

pytestmark = pytest.mark.integration

ARCHITECTURES = (pytest.param("seresnet50"), pytest.param("seresnet101", marks=pytest.mark.slow))


@pytest.mark.parametrize("architecture", ["seresnet50", "seresnet101"])
def test_names_and_shapes_are_those_of_mmpretrain(recorded: Path, architecture: str) -> None:
    oracle = json.loads((recorded / "mmcls.json").read_text())["models"][architecture]
    rows = list(mmcls_shapes(architecture).items())
    assert len(rows) == oracle["tensors"]
    assert names_digest(rows) == oracle["names_sha256"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_those_of_mmpretrain(recorded: Path, architecture: str) -> None:
    """Bit-exact where the oracle ran; here the processor may round otherwise."""
    oracle = json.loads((recorded / "mmcls.json").read_text())["models"][architecture]
    state = seeded_state(architecture)
    assert identify_model(state) == f"mmcls/{architecture}"
    network = build_module("mmcls", architecture)
    load_into(network, fitted("mmcls", architecture, state), f"mmcls/{architecture}")
    for shape, expected in zip(INPUT_SHAPES, oracle["logits"], strict=True):
        with torch.no_grad():
            logits = network(torch.from_numpy(seeded_input(shape)))[0, ::LOGIT_STEP]
        scale = max(abs(value) for value in expected)
        torch.testing.assert_close(logits, torch.tensor(expected), rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("given", "asked"), [("seresnet50", "seresnet101"), ("seresnet101", "seresnet50")]
)
def test_the_other_depth_is_refused_by_name(given: str, asked: str) -> None:
    state = {name: torch.empty(shape, device="meta") for name, shape in mmcls_shapes(given).items()}
    with pytest.raises(CheckpointRejected, match=f"is of mmcls/{given}, not of mmcls/{asked}"):
        fitted("mmcls", asked, state)


def test_the_number_of_classes_is_named() -> None:
    state = {
        name: torch.empty(shape, device="meta")
        for name, shape in mmcls_shapes("seresnet50").items()
    }
    state["head.fc.weight"] = torch.empty(10, 2048, device="meta")
    state["head.fc.bias"] = torch.empty(10, device="meta")
    adapted = fitted("mmcls", "seresnet50", state)
    with pytest.raises(CheckpointRejected, match="has 10 classes, mmcls/seresnet50 has 1000"):
        load_into(build_on_meta("mmcls", "seresnet50"), adapted, "mmcls/seresnet50")

"""Networks by source and architecture, and checkpoints given for the wrong row."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.catalog.models import CatalogModel, catalog
from engine.checkpoints.identify import identify_model, model_id_of
from engine.checkpoints.load_state import load_into
from engine.checkpoints.reading import read_checkpoint
from engine.checkpoints.registry import SOURCES, adapter, build_module, build_on_meta
from engine.errors import CheckpointRejected, InvalidRequest
from tests.support.fitted import fitted


def test_importing_the_package_imports_no_torch() -> None:
    program = (
        "import engine.checkpoints.registry, sys; "
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("model", catalog().values(), ids=lambda model: model.id)
def test_every_row_of_the_catalog_can_be_built(model: CatalogModel) -> None:
    network = build_on_meta(model.source, model.architecture)
    assert not network.training
    assert [p.shape[0] for p in network.parameters()][-1] == 1000


@pytest.mark.parametrize("source", SOURCES)
def test_unknown_architectures_are_refused(source: str) -> None:
    with pytest.raises(InvalidRequest, match="'nonesuch'"):
        build_module(source, "nonesuch")


def test_unknown_sources_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no source 'torchvision'"):
        adapter("torchvision")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("seresnet5O", "seresnet50"),
        ("seresnet50.ra3_in1k", r"seresnet50\.ra2_in1k"),
        ("hf-hub:timm/seresnet50", "no model 'hf-hub:timm/seresnet50'"),
        ("local-dir:/tmp/x", "list_models"),
        ("seresnet50.", "no model"),
    ],
)
def test_unknown_timm_names_get_a_hint(name: str, hint: str) -> None:
    with pytest.raises(InvalidRequest, match=hint):
        build_module("timm", name)


def test_a_timm_name_may_have_a_tag() -> None:
    assert build_on_meta("timm", "seresnet50.ra2_in1k").state_dict().keys() == (
        build_on_meta("timm", "seresnet50").state_dict().keys()
    )


def test_a_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = build_module("timm", "legacy_seresnet18", seed=5)
    assert torch.equal(torch.rand(1), expected)
    second = build_module("timm", "legacy_seresnet18", seed=5)
    other = build_module("timm", "legacy_seresnet18", seed=6)
    key = "last_linear.weight"
    assert torch.equal(first.state_dict()[key], second.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_untrained_branches_carry_signal() -> None:
    """With timm's zero gains, the SE units would not show in the output at all."""
    network = build_module("ppcls", "SE_ResNet18_vd", seed=0)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = network(image)
        network.layer1[0].se.fc2.bias.add_(1.0)
        assert not torch.equal(network(image), before)


@pytest.mark.parametrize("architecture", ["legacy_seresnet152", "seresnet152d"])
def test_rounding_decides_nothing_in_a_deep_untrained_network(architecture: str) -> None:
    module = build_module("timm", architecture, seed=0)
    batch = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        single = module(batch)
        double = module.double()(batch.double())
    assert (single - double).abs().max() < 1e-5 * double.abs().max()


def test_the_demo_takes_its_own_weights(tmp_path: Path) -> None:
    trained = build_module("demo", "senet", seed=1)
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    state = read_checkpoint(tmp_path / "weights.safetensors").tensors
    assert identify_model(state) == "demo/senet"
    network = build_module("demo", "senet")
    load_into(network, fitted("demo", "senet", state), "demo/senet")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(image), trained(image))


@pytest.mark.parametrize(
    "row", [model for model in catalog().values() if model.source == "timm"], ids=lambda m: m.id
)
def test_timm_checkpoints_are_recognized(row: CatalogModel) -> None:
    """All but values: the shapes of a network on the meta device."""
    state = build_on_meta(row.source, row.architecture).state_dict()
    assert identify_model(state) == row.id


def test_a_checkpoint_with_other_classes_is_recognized() -> None:
    state = dict(build_on_meta("timm", "legacy_seresnet18").state_dict())
    state["last_linear.weight"] = torch.empty(10, 512, device="meta")
    state["last_linear.bias"] = torch.empty(10, device="meta")
    assert identify_model(state) == "timm/legacy_seresnet18"


@pytest.mark.parametrize("state", [{}, {"a": torch.ones(1)}, {"fc6_weights": torch.ones(1)}])
def test_others_are_not_recognized(state: dict[str, torch.Tensor]) -> None:
    assert identify_model(state) is None


def test_a_resnet_without_se_is_not_recognized() -> None:
    assert identify_model(build_on_meta("timm", "resnet50").state_dict()) is None


@pytest.mark.parametrize(
    ("source", "architecture"),
    [
        ("mmcls", "seresnet50"),
        ("ppcls", "SE_ResNet18_vd"),
        ("timm", "seresnet50"),
        ("demo", "senet"),
    ],
)
def test_a_file_for_the_wrong_row_names_the_right_one(source: str, architecture: str) -> None:
    state = build_on_meta("timm", "legacy_seresnet18").state_dict()
    model_id = model_id_of(source, architecture)
    sentence = re.escape(f"is of timm/legacy_seresnet18, not of {model_id}")
    with pytest.raises(CheckpointRejected, match=sentence):
        load_into(
            build_on_meta(source, architecture),
            fitted(source, architecture, state),
            model_id,
        )


@pytest.mark.parametrize(
    ("source", "architecture"), [("mmcls", "seresnet50"), ("ppcls", "SENet154_vd")]
)
def test_unknown_checkpoints_are_refused_by_key(source: str, architecture: str) -> None:
    with pytest.raises(CheckpointRejected, match=r"features\.0\.weight"):
        fitted(source, architecture, {"features.0.weight": torch.ones(1)})


@pytest.mark.real
def test_real_weights_of_a_timm_network_outside_the_catalog() -> None:
    if "SENET_REAL_DATA" not in os.environ:
        pytest.skip("SENET_REAL_DATA is not set")
    folder = Path(os.environ["SENET_REAL_DATA"]) / "weights"
    state = read_checkpoint(folder / "tf_mobilenetv3_small_100.safetensors").tensors
    name = "tf_mobilenetv3_small_100"
    network = build_module("timm", name)
    load_into(network, fitted("timm", name, state), f"timm/{name}")
    assert torch.equal(network.classifier.bias, state["classifier.bias"])
    with pytest.raises(CheckpointRejected, match="do not fit timm/seresnet50"):
        load_into(build_on_meta("timm", "seresnet50"), state, "timm/seresnet50")

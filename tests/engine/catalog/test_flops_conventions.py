"""The published columns, recomputed by the conventions that are said to have made them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from engine.catalog.flops_conventions import (
    GROUPS_TWICE,
    THOP,
    TWICE_MACS,
    convention_of,
    published_gmacs,
)
from engine.catalog.models import CatalogModel, catalog, find_model
from engine.checkpoints.registry import build_on_meta
from engine.results import published_frame

Rule = Callable[[nn.Module, torch.Tensor, torch.Tensor], float]


def total(model: CatalogModel, rule: Rule) -> float:
    """A rule summed over every layer of one forward pass, in G."""
    assert model.preprocess is not None
    side, counts = model.preprocess.crop, []
    module = build_on_meta(model.source, model.architecture)
    for part in module.modules():
        part.register_forward_hook(lambda p, i, o: counts.append(rule(p, i[0], o)))
    with torch.no_grad():
        module(torch.empty(1, 3, side, side, device="meta"))
    return sum(counts) / 1e9


def macs(part: nn.Module, given: torch.Tensor, made: torch.Tensor) -> float:
    if isinstance(part, nn.Conv2d):
        kernel = part.kernel_size[0] * part.kernel_size[1]
        return made.numel() * part.in_channels * kernel / part.groups
    return made.numel() * part.in_features if isinstance(part, nn.Linear) else 0.0


def thop(part: nn.Module, given: torch.Tensor, made: torch.Tensor) -> float:
    if isinstance(part, nn.BatchNorm2d):
        return 4.0 * made.numel()
    if isinstance(part, nn.AdaptiveAvgPool2d):
        return given.numel() + made.numel()
    return made.numel() if isinstance(part, nn.AvgPool2d) else macs(part, given, made)


def groups_twice(part: nn.Module, given: torch.Tensor, made: torch.Tensor) -> float:
    return macs(part, given, made) / getattr(part, "groups", 1)


@pytest.mark.parametrize(
    "name", ["seresnet50", "seresnext26t_32x4d", "legacy_seresnet18", "seresnet152d"]
)
def test_timm_rows_are_totals_of_thop(name: str) -> None:
    model = find_model(f"timm/{name}")
    assert convention_of(model) is THOP
    assert total(model, thop) * 2 / 0.9 == pytest.approx(model.published_flops_g, abs=6e-4)


@pytest.mark.parametrize("model_id", ["mmcls/seresnet50", "ppcls/seresnet18", "ppcls/seresnet50"])
def test_the_others_are_twice_the_macs(model_id: str) -> None:
    model = find_model(model_id)
    assert convention_of(model) is TWICE_MACS
    assert total(model, macs) * 2 == pytest.approx(model.published_flops_g, rel=0.01)


def test_four_rows_divided_by_the_groups_twice() -> None:
    rows = [m for m in catalog().values() if convention_of(m) is GROUPS_TWICE]
    assert len(rows) == 4
    for model in rows:
        assert model.published_flops_g is not None
        assert model.published_params_m is not None
        assert total(model, groups_twice) * 2 == pytest.approx(model.published_flops_g, abs=0.01)
        missing = 1 - model.published_flops_g / (2 * total(model, macs))
        assert 0.039 < missing < 0.06
        module = build_on_meta(model.source, model.architecture)
        real = sum(p.numel() for p in module.parameters()) / 1e6
        assert 1.39 < real - model.published_params_m < 7.45


def test_the_catalog_says_so(url: str) -> None:
    frame = published_frame(url).set_index("model_id")
    assert frame["convention"].notna().all()
    assert frame.loc["timm/seresnet50", "convention"] == THOP.label
    assert convention_of(find_model("timm/resnet18")) is None


@pytest.mark.parametrize(
    ("model_id", "low", "high"),
    [
        ("timm/seresnet50", 1.0, 1.016),
        ("timm/seresnext26t_32x4d", 1.0, 1.016),
        ("ppcls/seresnet18", 0.99, 1.01),
        ("ppcls/seresnext50_32x4d", 0.94, 0.961),
    ],
)
def test_published_flops_come_near_the_count(model_id: str, low: float, high: float) -> None:
    model = find_model(model_id)
    estimate = published_gmacs(model)
    assert estimate is not None
    assert low <= estimate / total(model, macs) <= high


def test_a_model_without_published_flops_has_no_estimate() -> None:
    assert published_gmacs(find_model("timm/resnet18")) is None

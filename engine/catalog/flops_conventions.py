"""FLOPs conventions of the published figures; each source of the catalog counts differently.

They were derived by recomputing the figures. GMACs counted from the graph (engine.onnx.macs) are
exact; an estimate from a published figure is used only where it is marked as such.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.catalog.models import CatalogModel

# Rows of PaddleClas' own table with grouped convolutions; its other three rows are correct.
GROUPED_ROWS = frozenset(
    {
        "ppcls/senet154",
        "ppcls/seresnext50_32x4d",
        "ppcls/seresnext50_32x4d_vd",
        "ppcls/seresnext101_32x4d",
    }
)


@dataclass(frozen=True, slots=True)
class Convention:
    """A short label for tables, an explaining sentence, and the factor from FLOPs to MACs."""

    label: str
    sentence: str
    macs_of_flops: float


THOP = Convention(
    "thop total x 2 / 0.9",
    "timm rows: the published FLOPs are the total of thop (multiply-accumulates plus 4 for each "
    "BatchNorm output), multiplied by 2 and divided by 0.9e9 instead of 1e9: about 12 % more than "
    "2 × GMACs.",
    0.9 / 2,
)
TWICE_MACS = Convention(
    "2 x MACs",
    "mmcls and PaddleClas rows: the published FLOPs are 2 × multiply-accumulates, within 1 % of "
    "the computed figures.",
    1 / 2,
)
GROUPS_TWICE = Convention(
    "2 x MACs, grouped / groups twice",
    "Four PaddleClas rows with grouped convolutions: their convolutions were divided by the number "
    "of groups twice, so 4 to 6 % of the FLOPs and 1.4 to 7.4 M parameters are missing.",
    1 / 2,
)
_BY_SOURCE = {"timm": THOP, "mmcls": TWICE_MACS, "ppcls": TWICE_MACS}


def convention_of(model: CatalogModel) -> Convention | None:
    """The convention of a row's published figures; None for models outside the catalog."""
    if not model.in_catalogue:
        return None
    return GROUPS_TWICE if model.id in GROUPED_ROWS else _BY_SOURCE[model.source]


def published_gmacs(model: CatalogModel) -> float | None:
    """GMACs per image estimated from the published FLOPs (G); None if there are none.

    Within 1.6 % of the exact count for timm rows (which include BatchNorms), 1 % for the others; up
    to 6 % too low for GROUPED_ROWS.
    """
    convention = convention_of(model)
    if convention is None or model.published_flops_g is None:
        return None
    return model.published_flops_g * convention.macs_of_flops


def explanations() -> tuple[str, ...]:
    """The explaining sentences of the three conventions."""
    return tuple(convention.sentence for convention in (THOP, TWICE_MACS, GROUPS_TWICE))

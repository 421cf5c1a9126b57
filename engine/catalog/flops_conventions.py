"""How the published columns of the catalog were made: each source counts otherwise.

Found by recomputing them. What is counted here (engine/compute) is exact; an estimate from a
published figure stands in for it only where it is marked as one.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.catalog.models import CatalogModel

# Four rows with grouped convolutions, in PaddleClas' own table; its other three rows are right.
DIVIDED_TWICE = frozenset(
    {
        "ppcls/senet154",
        "ppcls/seresnext50_32x4d",
        "ppcls/seresnext50_32x4d_vd",
        "ppcls/seresnext101_32x4d",
    }
)


@dataclass(frozen=True, slots=True)
class Convention:
    """A short name for a column, the sentence that explains it, and what turns FLOPs into MACs."""

    label: str
    sentence: str
    macs_of_flops: float


THOP = Convention(
    "thop total x 2 / 0.9",
    "timm rows: the published FLOPs are the total of thop, which counts 4 for every output of a "
    "BatchNorm beside the multiply-accumulates, times 2 and divided by 0.9e9 instead of 1e9: about "
    "12 % more than 2 × GMACs.",
    0.9 / 2,
)
TWICE_MACS = Convention(
    "2 x MACs",
    "mmcls and PaddleClas rows: the published FLOPs are 2 × multiply-accumulates, to within 1 % of "
    "what is counted here.",
    1 / 2,
)
GROUPS_TWICE = Convention(
    "2 x MACs, grouped / groups twice",
    "Four PaddleClas rows with grouped convolutions: those convolutions were divided by the number "
    "of groups twice, so that 4 to 6 % of the FLOPs and 1.4 to 7.4 M parameters are missing.",
    1 / 2,
)
_BY_SOURCE = {"timm": THOP, "mmcls": TWICE_MACS, "ppcls": TWICE_MACS}


def convention_of(model: CatalogModel) -> Convention | None:
    """How a row's published figures were made; None for models outside the catalog."""
    if not model.in_catalogue:
        return None
    return GROUPS_TWICE if model.id in DIVIDED_TWICE else _BY_SOURCE[model.source]


def published_gmacs(model: CatalogModel) -> float | None:
    """GMACs an image by the published FLOPs (G) and their convention; None where there are none.

    Within 1.6 % of the count for timm rows, whose BatchNorms stay in, and 1 % for the others; up
    to 6 % too low for DIVIDED_TWICE.
    """
    convention = convention_of(model)
    if convention is None or model.published_flops_g is None:
        return None
    return model.published_flops_g * convention.macs_of_flops


def explanations() -> tuple[str, ...]:
    """The three sentences, for people."""
    return tuple(convention.sentence for convention in (THOP, TWICE_MACS, GROUPS_TWICE))

"""How the published columns of the catalogue were made: each source counts otherwise.

Found by recomputing them; only figures counted here (engine/compute) may be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.catalog import CatalogModel

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
    """A short name for a column, and the sentence that explains it."""

    label: str
    sentence: str


THOP = Convention(
    "thop total x 2 / 0.9",
    "timm rows: the published FLOPs are the total of thop, which counts 4 for every output of a "
    "BatchNorm beside the multiply-accumulates, times 2 and divided by 0.9e9 instead of 1e9: about "
    "12 % more than 2 x GMACs.",
)
TWICE_MACS = Convention(
    "2 x MACs",
    "mmcls and PaddleClas rows: the published FLOPs are 2 x multiply-accumulates, to within 1 % of "
    "what is counted here.",
)
GROUPS_TWICE = Convention(
    "2 x MACs, grouped / groups twice",
    "Four PaddleClas rows with grouped convolutions: those convolutions were divided by the number "
    "of groups twice, so that 4 to 6 % of the FLOPs and 1.4 to 7.4 M parameters are missing.",
)
_BY_SOURCE = {"timm": THOP, "mmcls": TWICE_MACS, "ppcls": TWICE_MACS}


def convention_of(model: CatalogModel) -> Convention | None:
    """How a row's published figures were made; None for models outside the catalogue."""
    if not model.in_catalogue:
        return None
    return GROUPS_TWICE if model.id in DIVIDED_TWICE else _BY_SOURCE[model.source]


def explanations() -> tuple[str, ...]:
    """The three sentences, for people."""
    return tuple(convention.sentence for convention in (THOP, TWICE_MACS, GROUPS_TWICE))

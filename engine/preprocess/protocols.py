"""Preprocessing protocols: as published, as in the vendor's tools, or custom."""

from __future__ import annotations

from enum import StrEnum

from engine.preprocess.spec import PIXEL_SCALE, Interpolation, PreprocessSpec, ResizeMode, Resizer


class Protocol(StrEnum):
    """`published`: as for the published figures; `vendor`: equals VENDOR; `custom`: all others."""

    PUBLISHED = "published"
    VENDOR = "vendor"
    CUSTOM = "custom"


# As in the vendor's preprocessing files, for every model: both sides are resized (squashed).
VENDOR = PreprocessSpec(
    resize=256,
    resize_mode=ResizeMode.SQUASH,
    crop=224,
    interpolation=Interpolation.BILINEAR,
    resizer=Resizer.OPENCV,
)

NORMALIZATIONS: dict[str, dict[str, float | tuple[float, float, float]]] = {
    name: {"scale": PIXEL_SCALE, "mean": mean, "std": std}
    for name, mean, std in (
        ("ImageNet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("[0, 1]", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("[-1, 1]", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    )
}
"""The usual ways to scale pixels, by the name or the range of the values they give."""


def protocol_name(spec: PreprocessSpec, published: PreprocessSpec | None) -> Protocol:
    """The protocol of a preprocessing spec, for a model with the `published` one."""
    if spec == published:
        return Protocol.PUBLISHED
    return Protocol.VENDOR if spec == VENDOR else Protocol.CUSTOM

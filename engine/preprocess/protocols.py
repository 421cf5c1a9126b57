"""The named ways to prepare images: as published, as the vendor's tools do, or custom."""

from __future__ import annotations

from enum import StrEnum

from engine.preprocess.spec import Interpolation, PreprocessSpec, ResizeMode, Resizer


class Protocol(StrEnum):
    """`published`: what a row's figures were made with; `vendor`: VENDOR; `custom`: anything."""

    PUBLISHED = "published"
    VENDOR = "vendor"
    CUSTOM = "custom"


# What the vendor's preprocessing files describe, for every model: both sides squashed.
VENDOR = PreprocessSpec(
    resize=256,
    resize_mode=ResizeMode.SQUASH,
    crop=224,
    interpolation=Interpolation.BILINEAR,
    resizer=Resizer.OPENCV,
)


def name_of(spec: PreprocessSpec, published: PreprocessSpec | None) -> Protocol:
    """Which protocol a preprocessing is, for a model whose published one is `published`."""
    if spec == published:
        return Protocol.PUBLISHED
    return Protocol.VENDOR if spec == VENDOR else Protocol.CUSTOM

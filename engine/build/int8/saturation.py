"""Builds whose sums do not fit the kernels of this processor, and what is done about it.

ONNX Runtime does not tell: a build for VNNI runs everywhere on x86, and is wrong where products are
added in 16 bits. Whoever wants its scores asks for exact sums (`OnnxRuntime(..., exact=True)`).
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

from db.models import Artifact
from engine.build.int8.targets import fitting
from engine.common.environment import instruction_sets
from engine.specs import CPU_PROVIDER, TargetName
from engine.store.manifest import BuildManifest


def overflow_here(artifact: Artifact) -> str | None:
    """What an artifact does wrong on this machine, in a sentence; None where nothing."""
    manifest = BuildManifest.from_artifact(artifact)
    made = manifest.build.quantization
    made_for = made.target.name if made is not None and made.target is not None else None
    if manifest.quantized is not None and manifest.quantized.overflows:
        made_for = TargetName.X86_VNNI
    return overflow_of(made_for, instruction_sets())


def overflow_of(made_for: str | None, isa: Iterable[str], machine: str | None = None) -> str | None:
    """What a build does wrong on a processor that adds products in 16 bits; None where nothing.

    `made_for` is the target's name in its manifest; files that come with weights of full 8 bits are
    as good as made for VNNI.
    """
    here = fitting(isa, CPU_PROVIDER, machine or platform.machine())
    if made_for != TargetName.X86_VNNI or here.name != TargetName.X86:
        return None
    return (
        f"int8 for {made_for} overflows in the fast kernels of this processor, which has no VNNI: "
        f"scores come from slower, exact ones, and speeds from those that overflow; build it for "
        f"{TargetName.X86} to use it here"
    )

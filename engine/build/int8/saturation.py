"""Warns of int8 builds whose sums overflow (saturate) in the kernels of this processor.

ONNX Runtime gives no warning: a build for VNNI runs on every x86 processor, and its scores are
wrong where products are added in 16 bits. Exact sums must be requested (`OnnxSession`, exact=True).
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

from db.models import Artifact
from engine.build.int8.targets import detect_target
from engine.common.environment import instruction_sets
from engine.specs import CPU_PROVIDER, TargetName
from engine.store.manifest import BuildManifest


def overflow_warning(artifact: Artifact) -> str | None:
    """A sentence if the sums of an artifact overflow on this machine, else None."""
    manifest = BuildManifest.from_artifact(artifact)
    quantization = manifest.build.quantization
    target = quantization.target if quantization is not None else None
    made_for = target.name if target is not None else None
    if manifest.quantized is not None and manifest.quantized.overflows:
        made_for = TargetName.X86_VNNI
    return overflow_warning_for(made_for, instruction_sets())


def overflow_warning_for(
    made_for: str | None, isa: Iterable[str], machine: str | None = None
) -> str | None:
    """A sentence if sums overflow on a processor with instruction sets `isa`, else None.

    `made_for` is the name of the target in the manifest; imported files with full 8-bit weights
    count as x86-vnni.
    """
    detected = detect_target(isa, CPU_PROVIDER, machine or platform.machine())
    if made_for != TargetName.X86_VNNI or detected.name != TargetName.X86:
        return None
    return (
        f"int8 for {made_for} overflows in the fast kernels of this processor, which has no VNNI: "
        f"scores are computed with slower, exact kernels, speeds are measured with the fast ones; "
        f"build it for {TargetName.X86} to use it here"
    )

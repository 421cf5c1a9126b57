"""Whether a half precision build computes in half precision, or in float32 behind casts."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from engine.common.environment import fp16_instructions
from engine.specs import CPU_PROVIDER
from engine.store.manifest import EMULATED, NATIVE


@dataclass(frozen=True, slots=True)
class Execution:
    """`kind` is native or emulated; `why` names the instructions, or what is missing."""

    kind: str
    why: str


def expected(provider: str = CPU_PROVIDER) -> Execution:
    """What a provider on this machine does, by its instruction set; nothing is run."""
    if provider != CPU_PROVIDER:
        return Execution(NATIVE, f"{provider} computes in half precision")
    found = fp16_instructions()
    if not found:
        return Execution(EMULATED, "the processor has no half precision arithmetic")
    if platform.machine().lower() in ("aarch64", "arm64"):
        return Execution(NATIVE, f"the processor has {', '.join(found)}")
    return Execution(
        EMULATED,
        f"the processor has {', '.join(found)}, but ONNX Runtime has no half precision "
        f"convolutions for it",
    )

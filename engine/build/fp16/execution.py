"""Expected execution of an fp16 build: native fp16 arithmetic, or emulation in float32."""

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
    """The execution to expect from a provider here, by the instruction set; runs nothing."""
    if provider != CPU_PROVIDER:
        return Execution(NATIVE, f"{provider} computes in fp16")
    instructions = fp16_instructions()
    if not instructions:
        return Execution(EMULATED, "the processor has no fp16 arithmetic")
    if platform.machine().lower() in ("aarch64", "arm64"):
        return Execution(NATIVE, f"the processor has {', '.join(instructions)}")
    return Execution(
        EMULATED,
        f"the processor has {', '.join(instructions)}, but ONNX Runtime has no fp16 "
        f"convolutions for it",
    )

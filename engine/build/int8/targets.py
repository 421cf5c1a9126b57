"""What an int8 build is made for: the types and ranges that one family of kernels wants.

ONNX Runtime on x86 multiplies unsigned activations by signed weights. Without VNNI it adds two such
products in 16 bits, which bounds what neighboring weights may add up to (`weights.py`). Arm and
TensorRT multiply signed by signed; TensorRT knows no zero point but 0, and adds biases in float.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from engine.specs import TargetName
from engine.store.int8_report import TargetFacts

X86_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8")
ARM_MACHINES = frozenset({"aarch64", "arm64"})
TENSORRT_PROVIDER = "TensorrtExecutionProvider"


class Activations(StrEnum):
    """How values are stored in 8 bits."""

    UNSIGNED = "uint8"
    SIGNED = "int8"
    SYMMETRIC = "int8, symmetric"


@dataclass(frozen=True, slots=True)
class Target:
    """`why` says how the target was come by.

    `fuses_only_in_integers`: a kernel is an integer one only between two stored tensors, and gates
    of HardSwish pay as saturating convolutions (ONNX Runtime). Where it is false, what follows a
    convolution joins it in float, and only what convolutions read is stored (TensorRT).
    """

    name: TargetName
    activations: Activations
    adds_pairs_in_16_bits: bool
    fuses_only_in_integers: bool
    float_bias: bool
    why: str

    @property
    def tried(self) -> bool:
        """Whether its builds have run on hardware of its own."""
        return self.name in (TargetName.X86_VNNI, TargetName.X86)

    @property
    def weights(self) -> str:
        """What is stored of the weights, in words."""
        bounded = " (pairs add up to 128 at most, so that 16 bits hold two products)"
        return f"int8, per channel{bounded if self.adds_pairs_in_16_bits else ''}"

    @property
    def summary(self) -> str:
        """Short, for tables: `x86-vnni (u8 x s8)`."""
        kind = "u8" if self.activations == Activations.UNSIGNED else "s8"
        pairs = " in bounded pairs" if self.adds_pairs_in_16_bits else ""
        return f"{self.name} ({kind} x s8{pairs})"

    def facts(self) -> TargetFacts:
        """As kept in a manifest."""
        return TargetFacts(**asdict(self), summary=self.summary)


_TARGETS = {
    TargetName.X86_VNNI: (Activations.UNSIGNED, False, True, False),
    TargetName.X86: (Activations.UNSIGNED, True, True, False),
    TargetName.ARM: (Activations.SIGNED, False, True, False),
    TargetName.TENSORRT: (Activations.SYMMETRIC, False, False, True),
}


def target_of(name: TargetName, why: str = "asked for") -> Target:
    """The target of a name other than `auto`."""
    return Target(name, *_TARGETS[name], why)


def resolve(
    asked: TargetName,
    isa: Iterable[str],
    provider: str = "CPUExecutionProvider",
    machine: str | None = None,
) -> Target:
    """The target asked for, or the one that fits a provider on a processor (`platform.machine`)."""
    fits = fitting(isa, provider, machine or platform.machine())
    return fits if asked in (TargetName.AUTO, fits.name) else target_of(asked)


def fitting(isa: Iterable[str], provider: str, machine: str) -> Target:
    """The target of a provider on a processor with these instruction sets."""
    if provider == TENSORRT_PROVIDER:
        return target_of(TargetName.TENSORRT, f"{provider} is to run it")
    if machine.lower() in ARM_MACHINES:
        return target_of(TargetName.ARM, "the processor is an Arm")
    present = set(isa)
    found = [flag for flag in X86_DOT_PRODUCTS if flag in present]
    if found:
        return target_of(TargetName.X86_VNNI, f"the processor has {found[0]}")
    return target_of(TargetName.X86, "the processor has no VNNI")

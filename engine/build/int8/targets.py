"""int8 targets: the data types and value ranges that a family of integer kernels requires.

ONNX Runtime on x86 multiplies unsigned activations by signed weights. Without VNNI it adds two such
products in 16 bits, which limits the sum of neighboring weights (`qdq/weights.py`). Arm and
TensorRT multiply signed by signed; TensorRT requires the zero point 0 and adds biases in float.
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
    """Data type of quantized activations."""

    UNSIGNED = "uint8"
    SIGNED = "int8"
    SYMMETRIC = "int8, symmetric"


@dataclass(frozen=True, slots=True)
class Target:
    """One int8 target; `why` is the reason it was chosen. The field names are stored.

    `adds_pairs_in_16_bits`: the kernel adds two products in 16 bits, so weight pairs are bounded.
    `fuses_only_in_integers`: a node runs in integers only between two quantized tensors, so gates
    of HardSwish become saturating convolutions (ONNX Runtime). Otherwise what follows a convolution
    is fused with it in float, and only the inputs of convolutions are quantized (TensorRT).
    `float_bias`: biases stay in float32.
    """

    name: TargetName
    activations: Activations
    adds_pairs_in_16_bits: bool
    fuses_only_in_integers: bool
    float_bias: bool
    why: str

    @property
    def is_verified(self) -> bool:
        """Whether its builds were run on hardware of this kind."""
        return self.name in (TargetName.X86_VNNI, TargetName.X86)

    @property
    def merges_groups(self) -> bool:
        """Whether grouped convolutions may be merged: ONNX Runtime's integer kernels gain by it."""
        return self.fuses_only_in_integers

    @property
    def usual_group_inputs(self) -> int | None:
        """Width in channels to which groups are merged without a measurement; None: not at all."""
        return _USUAL_GROUP_INPUTS.get(self.name)

    @property
    def weights(self) -> str:
        """Description of the stored weights, for the manifest."""
        bounded = " (sums of pairs at most 128, so that two products fit in 16 bits)"
        return f"int8, per channel{bounded if self.adds_pairs_in_16_bits else ''}"

    @property
    def summary(self) -> str:
        """Short text for tables: `x86-vnni (u8 x s8)`."""
        kind = "u8" if self.activations == Activations.UNSIGNED else "s8"
        pairs = " in bounded pairs" if self.adds_pairs_in_16_bits else ""
        return f"{self.name} ({kind} x s8{pairs})"

    def facts(self) -> TargetFacts:
        """The target as stored in the manifest."""
        return TargetFacts(**asdict(self), summary=self.summary)


_TARGETS = {
    TargetName.X86_VNNI: (Activations.UNSIGNED, False, True, False),
    TargetName.X86: (Activations.UNSIGNED, True, True, False),
    TargetName.ARM: (Activations.SIGNED, False, True, False),
    TargetName.TENSORRT: (Activations.SYMMETRIC, False, False, True),
}

_USUAL_GROUP_INPUTS = {TargetName.X86_VNNI: 32}
"""Measured with AVX512-VNNI: 32 channels took at most 3 % longer than the fastest, at all sizes."""


def get_target(name: TargetName, why: str = "requested") -> Target:
    """The target with this name, which must not be `auto`."""
    return Target(name, *_TARGETS[name], why)


def resolve(
    requested: TargetName,
    isa: Iterable[str],
    provider: str = "CPUExecutionProvider",
    machine: str | None = None,
) -> Target:
    """The requested target; for `auto` the one for this provider and processor (`machine`)."""
    detected = detect_target(isa, provider, machine or platform.machine())
    return detected if requested in (TargetName.AUTO, detected.name) else get_target(requested)


def detect_target(isa: Iterable[str], provider: str, machine: str) -> Target:
    """The target for a provider on a processor with the instruction sets `isa`."""
    if provider == TENSORRT_PROVIDER:
        return get_target(TargetName.TENSORRT, f"the provider is {provider}")
    if machine.lower() in ARM_MACHINES:
        return get_target(TargetName.ARM, "the processor is Arm")
    available = set(isa)
    dot_products = [flag for flag in X86_DOT_PRODUCTS if flag in available]
    if dot_products:
        return get_target(TargetName.X86_VNNI, f"the processor has {dot_products[0]}")
    return get_target(TargetName.X86, "the processor has no VNNI")

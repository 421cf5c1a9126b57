"""OpenVINO as a runtime of the registry: on the CPU, in fp32, bf16 and int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.common.environment import bf16_instructions
from engine.runtimes.base import Device, LoadOptions, Operators, Runs
from engine.runtimes.packages import version_of
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.specs.precisions import BF16_MISSING, Precision

if TYPE_CHECKING:
    from engine.runtimes.openvino import OpenVinoSession

PACKAGE = "openvino"
# Its ONNX frontend reads the standard operators, and of others only those that it knows by name.
KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft", "org.openvinotoolkit")


class OpenVinoRuntime:
    """The runtime of the registry; the precision is a hint that is always given, and checked."""

    name = "openvino"
    file = "model.onnx"

    def version(self) -> str | None:
        """Version of the openvino package."""
        return version_of(PACKAGE)

    def devices(self) -> tuple[Device, ...]:
        """The processor: other devices are not offered, as none was seen running."""
        return (Device(CPU_PROVIDER, "CPU"),) if self.version() else ()

    def supports(self, precision: str, operators: Operators, device: str) -> str | None:
        """Whether the device is the processor, and computes in bf16 natively where asked to."""
        if device != CPU_PROVIDER:
            return (
                f"Runtime {self.name} runs on the processor only: choose provider {CPU_PROVIDER}, "
                f"or runtime {DEFAULT_RUNTIME} for {device}."
            )
        if precision == Precision.BF16 and not bf16_instructions():
            return BF16_MISSING
        foreign = sorted(
            f"{domain}.{name}" for domain, name in operators if domain not in KNOWN_DOMAINS
        )
        if foreign:
            return (
                f"Runtime {self.name} has no operator {foreign[0]}: choose runtime "
                f"{DEFAULT_RUNTIME}."
            )
        return None

    def products(self, model: bytes, x: np.ndarray, precision: str, options: LoadOptions) -> Runs:
        """One infer request and stream for each request."""
        from engine.runtimes.openvino import products

        return products(model, x, precision, options)

    def load(
        self, path: Path, precision: str, device: str, options: LoadOptions
    ) -> OpenVinoSession:
        """Compiles a file for the processor, in the arithmetic of the precision."""
        from engine.runtimes.openvino import OpenVinoSession

        return OpenVinoSession(path, precision, options)

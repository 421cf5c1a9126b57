"""OpenVINO as a runtime of the registry: on the CPU, in fp32, bf16 and int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.common.environment import bf16_instructions
from engine.runtimes.base import Device, LoadOptions, Runs
from engine.runtimes.packages import version_of
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.specs.precisions import bf16_missing, uses_bf16

if TYPE_CHECKING:
    from engine.runtimes.openvino import OpenVinoSession

PACKAGE = "openvino"


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

    def supports(self, precision: str, device: str) -> str | None:
        """Whether the device is the processor, and computes in bf16 natively where asked to."""
        if device != CPU_PROVIDER:
            return (
                f"Runtime {self.name} runs on the processor only: choose provider {CPU_PROVIDER}, "
                f"or runtime {DEFAULT_RUNTIME} for {device}."
            )
        if uses_bf16(precision) and not bf16_instructions():
            return bf16_missing(precision)
        return None

    def lacks(self, path: Path) -> str | None:
        """The operators that its reader of ONNX files does not convert."""
        if self.version() is None:
            return None
        from engine.runtimes.openvino import unconverted_operators

        operators = unconverted_operators(path)
        if not operators:
            return None
        return (
            f"Runtime {self.name} lacks {'operator' if len(operators) == 1 else 'operators'} "
            f"{', '.join(operators)} of {path.name}: choose runtime {DEFAULT_RUNTIME}."
        )

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

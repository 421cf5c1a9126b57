"""torch, eager: the baseline that a network has before any deployment; fp32, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import NotSupported
from engine.runtimes.base import Device, LoadOptions, Runs
from engine.runtimes.packages import version_of
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME

if TYPE_CHECKING:
    from engine.runtimes.torch import TorchSession


class TorchRuntime:
    """The runtime of the registry; it runs the TorchScript form of the same export."""

    name = "torch"
    file = "model.pt"

    def version(self) -> str | None:
        """Version of the torch package."""
        return version_of("torch")

    def devices(self) -> tuple[Device, ...]:
        """The processor."""
        return (Device(CPU_PROVIDER, "CPU"),) if self.version() else ()

    def supports(self, precision: str, device: str) -> str | None:
        """Whether the device is the processor."""
        if device == CPU_PROVIDER:
            return None
        return (
            f"Runtime {self.name} runs on the processor only: choose provider {CPU_PROVIDER}, or "
            f"runtime {DEFAULT_RUNTIME} for {device}."
        )

    def lacks(self, path: Path) -> str | None:
        """None: it loads no ONNX file."""
        return None

    def products(self, model: bytes, x: np.ndarray, precision: str, options: LoadOptions) -> Runs:
        """Not supported: torch runs no ONNX model."""
        raise NotSupported("Runtime torch has no peak of its own: choose another runtime.")

    def load(self, path: Path, precision: str, device: str, options: LoadOptions) -> TorchSession:
        """Loads a TorchScript file."""
        from engine.runtimes.torch import TorchSession

        return TorchSession(path, options)

"""ONNX Runtime as a runtime of the registry; its devices are the execution providers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.runtimes.base import Device, LoadOptions, Runs
from engine.runtimes.packages import version_of
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.text import quoted

if TYPE_CHECKING:
    from engine.runtimes.onnxruntime import OnnxSession

CPU_PACKAGE, GPU_PACKAGE = "onnxruntime", "onnxruntime-gpu"
GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


class OnnxRuntime:
    """The runtime of the registry; the types in a file decide what it computes in."""

    name = DEFAULT_RUNTIME
    file = "model.onnx"

    def version(self) -> str | None:
        """Version of the onnxruntime package."""
        return version_of(CPU_PACKAGE, GPU_PACKAGE)

    def devices(self) -> tuple[Device, ...]:
        """The execution providers of this package."""
        import onnxruntime

        names = onnxruntime.get_available_providers()
        return tuple(Device(name, name.removesuffix("ExecutionProvider")) for name in names)

    def supports(self, precision: str, device: str) -> str | None:
        """Whether the package has the provider: that for the CPU has none of the GPU's."""
        if device in GPU_PROVIDERS and version_of(GPU_PACKAGE) is None:
            return (
                f"{device} is not in this ONNX Runtime, the package {CPU_PACKAGE}: install "
                f"{GPU_PACKAGE}, or choose provider {CPU_PROVIDER}."
            )
        if not device.endswith("ExecutionProvider"):
            return f"ONNX Runtime has no provider {quoted(device)}: choose {CPU_PROVIDER}."
        return None

    def lacks(self, path: Path) -> str | None:
        """None: a file with an operator that it lacks cannot be imported at all."""
        return None

    def products(self, model: bytes, x: np.ndarray, precision: str, options: LoadOptions) -> Runs:
        """One session for each request."""
        from engine.runtimes.onnxruntime import options_of, session_over

        settings = options_of(options.threads)
        sessions = [session_over(model, settings) for _ in range(options.requests)]
        return [partial(session.run, None, {"x": x}) for session in sessions]

    def load(self, path: Path, precision: str, device: str, options: LoadOptions) -> OnnxSession:
        """Loads a file; its tensor types determine the precision."""
        from engine.runtimes.onnxruntime import OnnxSession

        return OnnxSession(path, device, options.threads, options.exact_sums, options.requests)

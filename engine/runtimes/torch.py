"""Sessions of torch: a TorchScript module, run eagerly without gradients."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from engine.common.scores import as_scores
from engine.errors import ArtifactMissing, NotSupported
from engine.runtimes.base import LoadOptions, Request, Trace
from engine.specs import CPU_PROVIDER

if TYPE_CHECKING:
    from torch.jit import ScriptModule


class TorchSession:
    """A loaded TorchScript file; all requests share it, each with `threads` intra-op threads."""

    batch: int | None = None
    copies = 1

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Sets the threads of this process; raises ArtifactMissing."""
        if not path.is_file():
            raise ArtifactMissing(f"There is no model file {path}.")
        torch.set_num_threads(options.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated
            module: ScriptModule = torch.jit.load(str(path), map_location="cpu")
        self._module = module.eval()
        types = {tensor.dtype for tensor in module.parameters()}
        fp32 = types <= {torch.float32}
        layers = sum(1 for part in module.modules() if not list(part.children()))
        self.placement: dict[str, int] | None = {f"{CPU_PROVIDER} fp32": layers} if fp32 else None
        self.settings = {"intra-op threads": str(torch.get_num_threads())}

    def request(self) -> Request:
        """The module itself: it may run in several threads."""
        return self.run

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores (n, classes) float32 of a float32 batch (n, 3, side, side)."""
        with torch.inference_mode():
            return as_scores(self._module(torch.from_numpy(batch)).numpy())

    def profile(self, images: np.ndarray, seconds: float) -> Trace:
        """Not supported."""
        raise NotSupported("Runtime torch has no profiler here: choose another runtime.")

    def __enter__(self) -> Self:
        """The session."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Nothing to do: the module is released by garbage collection."""

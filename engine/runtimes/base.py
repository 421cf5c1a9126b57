"""What every runtime offers: how a model file is loaded, and how a loaded model is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

Request = Callable[[np.ndarray], np.ndarray]
"""Scores (n, classes) float32 for a float32 batch (n, 3, side, side), whatever n."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where a runtime can run a model; `name` is its provider in specs, rows and tables.

    The processor is named CPU_PROVIDER in every runtime, so that their rows can be compared.
    """

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is loaded: `threads` for each of `requests` that may be in flight at once.

    `exact_sums`: integers are added up exactly where the processor's fast kernels would overflow.
    """

    threads: int
    requests: int = 1
    exact_sums: bool = False


class Session(Protocol):
    """A loaded model with one image input and one score output; a context manager.

    `placement` counts the layers by where they run: a device, or a device and an arithmetic
    ("CPU int8"); None where the runtime does not say. `batch` is the only batch size that the model
    takes, None for any. `copies` says how often the model is in memory.
    """

    placement: dict[str, int] | None
    batch: int | None
    copies: int

    def request(self) -> Request:
        """One of the requests that may be in flight; each call gives another."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores of one batch, by one request."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the model's memory and threads back."""


class Runtime(Protocol):
    """A library that executes model files. Its module may be imported where the library is not."""

    name: str

    def version(self) -> str:
        """Of the library."""

    def devices(self) -> tuple[Device, ...]:
        """What models can run on here."""

    def load(self, path: Path, precision: str, device: str, options: LoadOptions) -> Session:
        """A file, executed at `precision` on a device by its name and nowhere else.

        Raises ProviderUnavailable when another device or precision would run, ArtifactMissing.
        """

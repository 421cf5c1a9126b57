"""The interface of runtimes: loading a model file, and running a loaded model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

Request = Callable[[np.ndarray], np.ndarray]
"""Computes scores (n, classes) float32 of a float32 batch (n, 3, side, side), for any n."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a runtime; `name` is the provider in specs, database rows and tables.

    Every runtime names the processor CPU_PROVIDER, so that their results are comparable.
    """

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options for loading: intra-op `threads` of each of `requests` concurrent requests.

    `exact_sums`: use exact integer sums where the processor's fast kernels would overflow.
    """

    threads: int
    requests: int = 1
    exact_sums: bool = False


class Session(Protocol):
    """A loaded model with one image input and one score output; a context manager.

    `placement`: number of layers by device, or by device and arithmetic ("CPU int8"); None if the
    runtime does not report it. `batch`: the only batch size of the model, None for any. `copies`:
    number of copies of the model in memory.
    """

    placement: dict[str, int] | None
    batch: int | None
    copies: int

    def request(self) -> Request:
        """A new request; there are as many as LoadOptions.requests."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores of one batch, computed by the first request."""

    def __enter__(self) -> Self:
        """The session."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Releases the memory and threads of the model."""


class Runtime(Protocol):
    """A library that executes models. Its module can be imported without the library."""

    name: str

    def version(self) -> str:
        """Version of the library."""

    def devices(self) -> tuple[Device, ...]:
        """The devices on this machine."""

    def load(self, path: Path, precision: str, device: str, options: LoadOptions) -> Session:
        """Loads a file for execution at `precision` on the device of this name only.

        Raises ProviderUnavailable if another device or precision would be used, ArtifactMissing.
        """

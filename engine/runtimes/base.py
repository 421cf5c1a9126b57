"""The interface of runtimes: loading a model file, and running a loaded model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto

Request = Callable[[np.ndarray], np.ndarray]
"""Computes scores (n, classes) float32 of a float32 batch (n, 3, side, side), for any n."""

Runs = list[Callable[[], object]]
"""Functions that run a model once."""


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

    `exact_sums`: use exact integer sums where the processor's fast kernels would overflow. `batch`:
    the batch size of all requests, for runtimes that compile for a size; None: any. `cache`: folder
    of compiled models; None: the model is compiled now, and the load time includes it. `callers`:
    number of threads that call `run` at once.
    """

    threads: int
    requests: int = 1
    exact_sums: bool = False
    batch: int | None = None
    cache: Path | None = None
    callers: int = 1


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One executed layer: mean ms per run, shapes of its outputs, its device and arithmetic.

    `node` is its node where the executed graph is ONNX; else `originals` are the names of the
    nodes of the model file that the layer computes.
    """

    name: str
    op: str
    ms: float
    shapes: tuple[tuple[int, ...], ...]
    provider: str
    node: NodeProto | None = None
    originals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """All layers in execution order; means over `runs` runs.

    ONNX Runtime's are the faster half of all; OpenVINO tells means of all runs only.
    `wall_ms`: mean duration of these runs; `latency_ms`: median latency without the profiler.
    """

    layers: tuple[LayerTime, ...]
    runs: int
    wall_ms: float
    latency_ms: float


class Session(Protocol):
    """A loaded model with one image input and one score output; a context manager.

    `placement`: number of layers by device, or by device and arithmetic ("CPU int8"); None if the
    runtime does not report it. `batch`: the only batch size of the model, None for any. `copies`:
    number of copies of the model in memory. `settings`: settings of the runtime, as it reports
    them; empty where ONNX Runtime or torch take what LoadOptions say.
    """

    placement: dict[str, int] | None
    batch: int | None
    copies: int
    settings: dict[str, str]

    def request(self) -> Request:
        """A new request; there are as many as LoadOptions.requests."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores of one batch; any number of threads may call it at once."""

    def profile(self, images: np.ndarray, seconds: float) -> Trace:
        """The time of every layer over about `seconds` of runs; raises NotSupported."""

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
    """A library that executes models. Its module can be imported without the library.

    `file`: the name of the model file that it loads.
    """

    name: str
    file: str

    def version(self) -> str | None:
        """Version of the library; None where it is not installed. Does not import it."""

    def devices(self) -> tuple[Device, ...]:
        """The devices on this machine; imports the library."""

    def supports(self, precision: str, device: str) -> str | None:
        """Why this machine does not execute models natively at a precision; None where it does.

        One sentence with the way out. Does not import the library.
        """

    def lacks(self, path: Path) -> str | None:
        """Why it cannot run the operators of an ONNX file; None where it can, or is not installed.

        One sentence with the way out. Imports the library, and does not compile the model.
        """

    def products(self, model: bytes, x: np.ndarray, precision: str, options: LoadOptions) -> Runs:
        """Runs of a small ONNX model on the CPU, for its speed; one for each request in flight.

        Raises NotSupported where the runtime has no peak of its own, or other arithmetic would run.
        """

    def load(self, path: Path, precision: str, device: str, options: LoadOptions) -> Session:
        """Loads a file for execution at `precision` on the device of this name only.

        Raises ProviderUnavailable if another device would be used, ArtifactMissing.
        """

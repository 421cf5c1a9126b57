"""ONNX Runtime: loads an ONNX file on exactly the requested provider, and runs batches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime as ort

from engine.common.scores import as_scores
from engine.errors import ArtifactMissing, ProviderUnavailable
from engine.runtimes.base import Request, Trace
from engine.runtimes.batches import in_batches
from engine.runtimes.onnxruntime_options import options_of as options_of
from engine.runtimes.onnxruntime_options import session_over as session_over
from engine.runtimes.onnxruntime_profiler import record_trace
from engine.specs import CPU_PROVIDER

RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
EXACT_SUMS = "session.x64quantprecision"


class OnnxSession:
    """A loaded model: one session of ONNX Runtime for each request in flight.

    `placement`: number of nodes by provider; None if this version of ONNX Runtime does not
    report it.
    """

    def __init__(
        self, path: Path, provider: str, threads: int, exact: bool = False, requests: int = 1
    ) -> None:
        """`exact`: use exact integer sums where the processor's fast kernels would overflow.

        Raises ProviderUnavailable if another provider would be used, ArtifactMissing.
        """
        sessions = [_session(path, provider, threads, exact) for _ in range(requests)]
        first = sessions[0]
        self.placement = nodes_by_provider(first)
        _require_own_nodes(provider, self.placement)
        self.batch, self.copies = batch_of(first), requests
        self.settings: dict[str, str] = {}
        self._path, self._provider, self._threads = path, provider, threads
        names = [first.get_outputs()[0].name], first.get_inputs()[0].name
        self._requests = [partial(_scores, session, *names, self.batch) for session in sessions]
        self._unused = iter(self._requests)

    def request(self) -> Request:
        """The next unused session."""
        return next(self._unused)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores (n, classes) float32 of a float32 batch (n, 3, side, side), for any n."""
        return self._requests[0](batch)

    def profile(self, images: np.ndarray, seconds: float) -> Trace:
        """The time of every node, by ONNX Runtime's own profiler."""
        return record_trace(self._path, self._provider, self._threads, images, seconds)

    def __enter__(self) -> Self:
        """The session."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Nothing to do: sessions are released by garbage collection."""


def _scores(
    session: ort.InferenceSession,
    outputs: list[str],
    input_name: str,
    size: int | None,
    images: np.ndarray,
) -> np.ndarray:
    return in_batches(
        lambda part: as_scores(session.run(outputs, {input_name: part})[0]), images, size
    )


class ForeignSession:
    """A file with any inputs and outputs, loaded on the CPU; `outputs`: their names.

    `unreadable`: name -> type of outputs whose type NumPy does not have; they cannot be read.
    Raises the errors of ONNX Runtime.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._session = _session(path, CPU_PROVIDER, threads, exact=False)
        self.outputs = [output.name for output in self._session.get_outputs()]
        self.unreadable = {
            output.name: output.type
            for output in self._session.get_outputs()
            if "bfloat16" in output.type or "float8" in output.type
        }

    def run(self, feed: np.ndarray, names: Sequence[str], seconds: float) -> list[np.ndarray]:
        """The outputs of these names; raises TimeoutError after `seconds`."""
        return run_within(self._session, names, feed, seconds)


def batch_of(session: ort.InferenceSession) -> int | None:
    """The only batch size of a session; None if the dimension is dynamic."""
    shape = session.get_inputs()[0].shape
    return shape[0] if shape and isinstance(shape[0], int) else None


@lru_cache(maxsize=1)
def newest_opset() -> int:
    """The newest version of the standard operators that this ONNX Runtime accepts."""
    versions = (schema.since_version for schema in _schemas() if schema.domain == "")
    return max(versions)


@lru_cache(maxsize=1)
def operators() -> frozenset[tuple[str, str]]:
    """(domain, operator) of all operators that this ONNX Runtime defines."""
    return frozenset((schema.domain, schema.name) for schema in _schemas())


def _schemas() -> list[ort.capi.onnxruntime_pybind11_state.schemadef.OpSchema]:
    schemas: list[ort.capi.onnxruntime_pybind11_state.schemadef.OpSchema] = (
        ort.capi.onnxruntime_pybind11_state.get_all_operator_schema()
    )
    return schemas


def _session(path: Path, provider: str, threads: int, exact: bool) -> ort.InferenceSession:
    available = ort.get_available_providers()
    if provider not in available:
        raise ProviderUnavailable(
            f"{provider} is not in this ONNX Runtime, which has {', '.join(available)}; install "
            f"the onnxruntime package for it, or choose another provider."
        )
    if not path.is_file():
        raise ArtifactMissing(f"There is no model file {path}.")
    options = options_of(threads, severity=4)  # errors are raised, not logged
    options.add_session_config_entry(RECORD_ASSIGNMENT, "1")
    options.add_session_config_entry(EXACT_SUMS, str(int(exact)))
    session = session_over(path, options, provider)
    session.disable_fallback()
    running = session.get_providers()[0]
    if running != provider:
        raise ProviderUnavailable(
            f"{provider} was requested, but ONNX Runtime would run {running}; nothing was measured."
        )
    return session


def run_within(
    session: ort.InferenceSession, names: Sequence[str], feed: np.ndarray, seconds: float
) -> list[np.ndarray]:
    """One run of a session; raises TimeoutError after `seconds`."""
    options = ort.RunOptions()
    options.log_severity_level = 4
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        options.terminate = True

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        outputs: list[np.ndarray] = session.run(
            names, {session.get_inputs()[0].name: feed}, options
        )
    except Exception as error:
        if expired.is_set():
            raise TimeoutError(f"no result after {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    return outputs


def nodes_by_provider(session: ort.InferenceSession) -> dict[str, int] | None:
    """Number of nodes by provider; None if this version of ONNX Runtime does not report it."""
    assignment_info = getattr(session, "get_provider_graph_assignment_info", None)
    if assignment_info is None:
        return None
    counts: Counter[str] = Counter()
    for part in assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def _require_own_nodes(provider: str, nodes: dict[str, int] | None) -> None:
    # A provider that takes no node is silently replaced by the CPU, under its own name.
    if nodes and not nodes.get(provider):
        others = ", ".join(f"{count} on {name}" for name, count in nodes.items())
        raise ProviderUnavailable(
            f"{provider} was requested, but would run no part of this model ({others}); nothing "
            f"was measured. Choose the provider that runs it."
        )

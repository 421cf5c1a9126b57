"""ONNX Runtime: loads an ONNX file on exactly the provider asked for, and runs batches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from engine.common.scores import as_scores
from engine.errors import ArtifactMissing, ProviderUnavailable

if TYPE_CHECKING:
    from onnx import ModelProto

ort.set_default_logger_severity(3)
RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
VALUES_LIMIT_S = 60.0
EXACT_SUMS = "session.x64quantprecision"


class OnnxRuntime:
    """A loaded model with one image input and one score output.

    `nodes` counts the nodes of the graph that each provider runs; None where this version of ONNX
    Runtime does not tell. `batch` is the only batch size that the model takes, None for any.
    """

    name = "onnxruntime"
    version = ort.__version__

    def __init__(self, path: Path, provider: str, threads: int, exact: bool = False) -> None:
        """`exact`: integers are added up exactly where the processor's fast kernels would overflow.

        Raises ProviderUnavailable when another provider would run, ArtifactMissing.
        """
        self.provider, self.threads = provider, threads
        self._session = _session(path, provider, threads, exact)
        self.nodes = nodes_by_provider(self._session)
        _require_own_nodes(provider, self.nodes)
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        self.batch = batch_of(self._session)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores (n, classes) float32 for a float32 batch (n, 3, side, side), whatever n."""
        return in_batches(self._run, batch, self.batch)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return as_scores(self._session.run([self._output], {self._input: batch})[0])


class ForeignSession:
    """A file of any inputs and outputs, loaded on the CPU; `outputs` are their names.

    `unreadable` are outputs of types that NumPy does not have, by name: no run gives them.
    Raises ONNX Runtime's own errors.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._session = _session(path, "CPUExecutionProvider", threads, exact=False)
        self.outputs = [output.name for output in self._session.get_outputs()]
        self.unreadable = {
            output.name: output.type
            for output in self._session.get_outputs()
            if "bfloat16" in output.type or "float8" in output.type
        }

    def run(self, feed: np.ndarray, names: Sequence[str], seconds: float) -> list[np.ndarray]:
        """The outputs of these names; raises TimeoutError when it takes longer than `seconds`."""
        return _run_within(self._session, names, feed, seconds)


def batch_of(session: ort.InferenceSession) -> int | None:
    """The only batch size that a session takes; None where the dimension is open."""
    shape = session.get_inputs()[0].shape
    return shape[0] if shape and isinstance(shape[0], int) else None


def in_batches(
    run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, size: int | None
) -> np.ndarray:
    """What `run` gives for all images, asked in batches of exactly `size` (None: all at once)."""
    if size is None or size == len(images):
        return run(images)
    return np.concatenate([run(part) for part in filled(images, size)])[: len(images)]


def filled(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches of exactly `size`; the last is filled up with copies of its last image."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        missing = size - len(part)
        yield np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


def values_by_run(
    model: ModelProto, names: Sequence[str], side: int, batch: int = 1
) -> dict[str, np.ndarray]:
    """Tensors of a graph as one run of black images (batch, 3, side, side) gives them.

    Empty where the graph does not run with these tensors as outputs.
    """
    from onnx import ModelProto, ValueInfoProto

    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(
            shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        images = np.zeros((batch_of(session) or batch, 3, side, side), np.float32)
        values = _run_within(session, names, images, VALUES_LIMIT_S)
    except Exception:  # the caller does without
        return {}
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def shapes_by_run(model: ModelProto, side: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor as one run of an image (1, 3, side, side) gives it."""
    names = [name for node in model.graph.node for name in node.output if name]
    values = values_by_run(model, names, side)
    return {name: value.shape for name, value in values.items()}


@lru_cache(maxsize=1)
def newest_opset() -> int:
    """The newest version of the standard operators that this ONNX Runtime accepts."""
    versions = (schema.since_version for schema in _schemas() if schema.domain == "")
    return max(versions)


@lru_cache(maxsize=1)
def operators() -> frozenset[tuple[str, str]]:
    """(domain, operator) of everything that this ONNX Runtime has a definition of."""
    return frozenset((schema.domain, schema.name) for schema in _schemas())


def _schemas() -> list[ort.capi.onnxruntime_pybind11_state.schemadef.OpSchema]:
    found: list[ort.capi.onnxruntime_pybind11_state.schemadef.OpSchema] = (
        ort.capi.onnxruntime_pybind11_state.get_all_operator_schema()
    )
    return found


def _session(path: Path, provider: str, threads: int, exact: bool) -> ort.InferenceSession:
    available = ort.get_available_providers()
    if provider not in available:
        raise ProviderUnavailable(
            f"{provider} is not in this ONNX Runtime, which has {', '.join(available)}; install "
            f"the onnxruntime package made for it, or choose another provider."
        )
    if not path.is_file():
        raise ArtifactMissing(f"There is no model file {path}.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    options.add_session_config_entry(RECORD_ASSIGNMENT, "1")
    options.add_session_config_entry(EXACT_SUMS, str(int(exact)))
    session = ort.InferenceSession(str(path), options, providers=[provider])
    session.disable_fallback()
    running = session.get_providers()[0]
    if running != provider:
        raise ProviderUnavailable(
            f"{provider} was asked for, but ONNX Runtime would run {running}; nothing was measured."
        )
    return session


def _run_within(
    session: ort.InferenceSession, names: Sequence[str], feed: np.ndarray, seconds: float
) -> list[np.ndarray]:
    """One run of a session under a time limit; raises TimeoutError when it takes longer."""
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
        found: list[np.ndarray] = session.run(names, {session.get_inputs()[0].name: feed}, options)
    except Exception as error:
        if expired.is_set():
            raise TimeoutError(f"no result after {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    return found


def nodes_by_provider(session: ort.InferenceSession) -> dict[str, int] | None:
    """How many nodes each provider was given; None where the runtime does not tell."""
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    if tell is None:
        return None
    counts: Counter[str] = Counter()
    for part in tell():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def _require_own_nodes(provider: str, nodes: dict[str, int] | None) -> None:
    # A provider that takes no node is silently replaced by the CPU, under its own name.
    if nodes and not nodes.get(provider):
        others = ", ".join(f"{count} on {name}" for name, count in nodes.items())
        raise ProviderUnavailable(
            f"{provider} was asked for, but would run no part of this model ({others}); nothing "
            f"was measured. Choose the provider that runs it."
        )

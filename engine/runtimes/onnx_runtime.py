"""ONNX Runtime: loads an ONNX file on exactly the provider asked for, and runs batches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort

from engine.errors import ArtifactMissing, ProviderUnavailable

ort.set_default_logger_severity(3)
RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
EXACT_SUMS = "session.x64quantprecision"


class OnnxRuntime:
    """A loaded model with one image input and one score output.

    `nodes` counts the nodes of the graph that each provider runs; None where this version of ONNX
    Runtime does not tell.
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

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Scores (n, classes) float32 for a float32 batch (n, 3, side, side)."""
        scores: np.ndarray = self._session.run([self._output], {self._input: batch})[0]
        return scores


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
    options.log_severity_level = 3
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

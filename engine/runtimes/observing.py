"""Sessions over graphs made in memory: any tensor may be an output, and what ran can be read back.

Weights travel through a file where a graph may be large.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto

from engine.runtimes.batches import filled
from engine.runtimes.onnxruntime import EXACT_SUMS, batch_of, options_of, session_over


class GraphSession:
    """A session over a graph made in memory; a graph of one batch size is run in batches of it."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._batch = batch_of(session)

    def run(self, names: list[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for all images of the one input.

        Numbers that a graph reduces a whole batch to are the largest of all batches.
        """
        ((name, images),) = feeds.items()
        if self._batch in (None, len(images)):
            found: list[np.ndarray] = self._session.run(names, feeds)
            return found
        parts = [self._session.run(names, {name: part}) for part in filled(images, self._batch)]
        return [_joined(values, len(images)) for values in zip(*parts, strict=True)]

    def run_inputs(self, names: list[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of a graph with any number of inputs, in one run."""
        found: list[np.ndarray] = self._session.run(names, feeds)
        return found


def _joined(values: tuple[np.ndarray, ...], images: int) -> np.ndarray:
    if values[0].ndim == 0:
        return np.asarray(np.max(values))
    return np.concatenate(values)[:images]


MAX_BYTES_IN_MEMORY = 1 << 28
"""A larger graph travels through a file, which is slower but needs no second copy in memory."""
NO_SPINNING = ("session.intra_op.allow_spinning", "0")


def session_of(
    model: ModelProto, threads: int, optimized: Path | None = None, spinning: bool = True
) -> GraphSession:
    """A CPU session; with `optimized`, the graph that ONNX Runtime makes of it is written there.

    What is written stops at the extended level: the last one is for one machine only. Integers are
    added up exactly, also where the processor's fast kernels would overflow. Without `spinning`,
    waiting threads leave the cores to others, such as the decoding of the next images.
    """
    level = None if optimized is None else ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options = options_of(threads, level)
    options.add_session_config_entry(EXACT_SUMS, "1")
    if not spinning:
        options.add_session_config_entry(*NO_SPINNING)
    # Observers run as soon as their tensor is there, so that no feature map waits for the end.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    # The size of the whole message takes as long to find as the message to write.
    if sum(map(_bytes_of, model.graph.initializer)) <= MAX_BYTES_IN_MEMORY:
        return GraphSession(session_over(model.SerializeToString(), options))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return GraphSession(session_over(path, options))


def _bytes_of(tensor: onnx.TensorProto) -> int:
    return len(tensor.raw_data) or 4 * len(tensor.float_data)


def plain_session_of(model: ModelProto, threads: int) -> GraphSession:
    """A CPU session that leaves QuantizeLinear and DequantizeLinear where they are.

    All other optimizations apply: a small network runs four times as fast as with the basic ones.
    """
    options = options_of(threads)
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # Threads that wait at the end of one session must not take the cores from the next.
    options.add_session_config_entry(*NO_SPINNING)
    return GraphSession(session_over(model.SerializeToString(), options))


def small_session_of(model: ModelProto, threads: int) -> GraphSession:
    """A CPU session as a build is run, of a graph below 2 GB."""
    return GraphSession(session_over(model.SerializeToString(), options_of(threads)))


def graph_as_run(model: ModelProto) -> ModelProto:
    """The graph that ONNX Runtime runs without optimizations, with the casts it inserts."""
    options = options_of(0, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "given.onnx", Path(folder) / "as run.onnx"
        onnx.save(model, source)
        options.optimized_model_filepath = str(path)
        session_over(source, options)
        return onnx.load(path)

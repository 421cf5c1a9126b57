"""A foreign ONNX file in its original form, run with a timeout: the reference of its import."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto

from engine.config import settings
from engine.errors import CheckpointRejected, ExportFailed
from engine.onnx import graph_io
from engine.onnx.signature import MAX_PIXEL, ImageInput, find_image_inputs
from engine.runtimes.batches import in_batches
from engine.runtimes.onnxruntime import ForeignSession
from engine.text import cut, first_line

MAX_REASON_LENGTH = 2_000
"""Characters of an error message that are read: the reason is at the end of a long line."""
NO_KERNEL = "Could not find an implementation"
RUN_TIMEOUT_S = 60.0
CANDIDATE_BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes to try where a file declares any batch size but does not run on one image."""


@dataclass(frozen=True, slots=True)
class Original:
    """The loaded file, the layout of its input, and the batch size that it runs with.

    `sample`: the values of all outputs in a run of `batch` images, by name.
    """

    file: str
    session: ForeignSession
    input: ImageInput
    batch: int
    sample: dict[str, np.ndarray]

    def scores(self, name: str, images: np.ndarray) -> np.ndarray:
        """The raw output `name` for images (n, 3, side, side), in batches of the file's size."""
        return in_batches(lambda part: self._run(name, part), images, self.batch)

    def _run(self, name: str, images: np.ndarray) -> np.ndarray:
        output = self.session.run(self.input.feed(images), [name], RUN_TIMEOUT_S)[0]
        return output.reshape(1, -1) if output.ndim == 1 and len(images) == 1 else output


def open_original(path: Path, proto: ModelProto, requested_side: int | None) -> Original:
    """Loads the file and runs it once with each input layout that its declared shapes allow.

    Raises ExportFailed where ONNX Runtime fails, the run exceeds RUN_TIMEOUT_S, or not exactly one
    layout runs; CheckpointRejected where the file is invalid.
    """
    readings = find_image_inputs(proto, path.name, requested_side)
    try:
        session = ForeignSession(path, settings().threads)
    except Exception as error:  # ONNX Runtime has many error classes
        raise _load_error(path.name, graph_io.opset_of(proto), runtime_reason(error)) from error
    for name, type_ in session.unreadable.items():
        raise ExportFailed(
            f"{path.name} has the output {name!r} of type {type_}, which cannot be read: export "
            f"the network with float32 outputs."
        )
    originals: list[Original] = []
    failures: list[str] = []
    for reading in readings:
        for batch in CANDIDATE_BATCHES if reading.batch is None else (reading.batch,):
            try:
                originals.append(_try_run(session, reading, batch, path.name))
                break
            except _RunFailed as error:
                failures.append(str(error))
    if not originals:
        raise ExportFailed(_run_failure_message(path.name, readings[0], failures[0]))
    if len(originals) > 1:
        raise ExportFailed(
            f"{path.name} does not declare its input shape and runs with both NCHW and NHWC "
            f"images: export it with the shape (batch, 3, side, side)."
        )
    return originals[0]


def _run_failure_message(file: str, reading: ImageInput, reason: str) -> str:
    way_out = (
        "Choose another size with --crop."
        if reading.side_is_open
        else "Export the network again with an input shape that it can run."
    )
    return f"{file} does not run on images of {reading.side} x {reading.side}: {reason} {way_out}"


def _load_error(file: str, opset: int, reason: str) -> CheckpointRejected | ExportFailed:
    if NO_KERNEL in reason:
        return ExportFailed(
            f"ONNX Runtime cannot run {file}, which uses opset {opset}: {reason} Export the "
            f"network again with opset 13 or newer."
        )
    return CheckpointRejected(f"{file} is not a valid ONNX model: {reason}")


class _RunFailed(Exception):
    """A run with one input layout and batch size failed; the text is from ONNX Runtime."""


def _try_run(session: ForeignSession, reading: ImageInput, batch: int, file: str) -> Original:
    images = np.random.default_rng(0).random((batch, 3, reading.side, reading.side), np.float32)
    feed = reading.feed(np.rint(images * MAX_PIXEL) if reading.takes_integer_pixels else images)
    try:
        values = session.run(feed, session.outputs, RUN_TIMEOUT_S)
    except TimeoutError as error:
        raise ExportFailed(
            f"{file} gave no scores for {batch} image{'s' * (batch > 1)} within "
            f"{RUN_TIMEOUT_S:g} s, possibly because of an endless loop: export the network without "
            f"loops."
        ) from error
    except Exception as error:  # see open_original
        raise _RunFailed(runtime_reason(error)) from error
    sample = dict(zip(session.outputs, values, strict=True))
    if batch == 1 or any(isinstance(v, np.ndarray) and v.shape[:1] == (batch,) for v in values):
        return Original(file, session, reading, batch, sample)
    raise _RunFailed(
        f"its outputs have the shapes {[np.shape(v) for v in values]} for {batch} images."
    )


def runtime_reason(error: Exception) -> str:
    """The message of an ONNX Runtime exception in one line, without codes and source locations."""
    line = first_line(error, MAX_REASON_LENGTH)
    node = re.search(r"running (\w+) node\. Name:'(.*?)' Status Message: (.*)", line)
    if node is not None:
        operator, name, line = node.groups()
        where = f"node {name!r} ({operator})" if name else f"a {operator} node"
        line = line.rpartition("was false. ")[2]
        line = f"{where}: " + re.sub(r"^\S+\.(h|cc):\d+ \S+ ", "", line)
    else:
        line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", line)
        line = line.replace("Fatal error: ", "")
    return cut(line).rstrip(". ") + "."

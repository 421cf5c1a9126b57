"""A foreign ONNX file as it came, run under a time limit: what its import is held against."""

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
from engine.runtimes.onnxruntime import ForeignSession, in_batches
from engine.text import cut, first_line

MOST_REASON = 2_000
"""Letters that are looked at: the reason itself stands at the end of a long line."""
NO_KERNEL = "Could not find an implementation"
RUN_LIMIT_S = 60.0
TRIED_BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Tried in turn where a file declares any batch, but does not run on one image."""


@dataclass(frozen=True, slots=True)
class Original:
    """The loaded file, how its input is read, and the batch it runs in.

    `sample` is what a run of `batch` images gave, by output.
    """

    file: str
    session: ForeignSession
    input: ImageInput
    batch: int
    sample: dict[str, np.ndarray]

    def scores(self, name: str, images: np.ndarray) -> np.ndarray:
        """The raw output `name` for images (n, 3, side, side), in batches of the file's own."""
        return in_batches(lambda part: self._run(name, part), images, self.batch)

    def _run(self, name: str, images: np.ndarray) -> np.ndarray:
        found = self.session.run(self.input.feed(images), [name], RUN_LIMIT_S)[0]
        return found.reshape(1, -1) if found.ndim == 1 and len(images) == 1 else found


def open_original(path: Path, proto: ModelProto, asked_side: int | None) -> Original:
    """Loads the file and runs it once, in each reading that its declared shapes allow.

    Raises ExportFailed with one sentence: what ONNX Runtime says, no end of the run, or that
    neither reading or both of them run.
    """
    readings = find_image_inputs(proto, path.name, asked_side)
    try:
        session = ForeignSession(path, settings().threads)
    except Exception as error:  # ONNX Runtime has errors of its own for each kind of damage
        raise _not_loaded(path.name, graph_io.opset_of(proto), runtime_reason(error)) from error
    for name, type_ in session.unreadable.items():
        raise ExportFailed(
            f"{path.name} gives {name!r} as {type_}, which no run hands over: export the network "
            f"with outputs in float32."
        )
    found: list[Original] = []
    failures: list[str] = []
    for reading in readings:
        for batch in TRIED_BATCHES if reading.batch is None else (reading.batch,):
            try:
                found.append(_tried(session, reading, batch, path.name))
                break
            except _DoesNotRun as error:
                failures.append(str(error))
    if not found:
        raise ExportFailed(_does_not_run(path.name, readings[0], failures[0]))
    if len(found) > 1:
        raise ExportFailed(
            f"{path.name} does not declare the shape of its input, and runs on images as NCHW and "
            f"as NHWC: export it with the shape (batch, 3, side, side)."
        )
    return found[0]


def _does_not_run(file: str, reading: ImageInput, reason: str) -> str:
    way_out = (
        "Another size is chosen with --crop."
        if reading.side_is_open
        else "Export the network again, so that it runs on images of the shape that it declares."
    )
    return f"{file} does not run on images of {reading.side} x {reading.side}: {reason} {way_out}"


def _not_loaded(file: str, opset: int, reason: str) -> CheckpointRejected | ExportFailed:
    if NO_KERNEL in reason:
        return ExportFailed(
            f"ONNX Runtime cannot run {file}, which is written in opset {opset}: {reason} Export "
            f"the network again with opset 13 or newer."
        )
    return CheckpointRejected(f"{file} is not a valid ONNX model: {reason}")


class _DoesNotRun(Exception):
    """One reading at one batch fails; the text is ONNX Runtime's."""


def _tried(session: ForeignSession, reading: ImageInput, batch: int, file: str) -> Original:
    images = np.random.default_rng(0).random((batch, 3, reading.side, reading.side), np.float32)
    feed = reading.feed(np.rint(images * MAX_PIXEL) if reading.takes_integer_pixels else images)
    try:
        values = session.run(feed, session.outputs, RUN_LIMIT_S)
    except TimeoutError as error:
        raise ExportFailed(
            f"{file} gave no scores for {batch} image{'s' * (batch > 1)} within {RUN_LIMIT_S:g} s: "
            f"a loop in it may not end. Export the network without the loop."
        ) from error
    except Exception as error:  # as above
        raise _DoesNotRun(runtime_reason(error)) from error
    sample = dict(zip(session.outputs, values, strict=True))
    if batch == 1 or any(isinstance(v, np.ndarray) and v.shape[:1] == (batch,) for v in values):
        return Original(file, session, reading, batch, sample)
    raise _DoesNotRun(f"it gives {[np.shape(v) for v in values]} for {batch} images.")


def runtime_reason(error: Exception) -> str:
    """What an exception of ONNX Runtime says, in one line without its codes and source places."""
    line = first_line(error, MOST_REASON)
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

"""Runs graphs made in memory and reads all their outputs, in each runtime or emulated.

Emulated: the nodes between QuantizeLinear and DequantizeLinear are computed in float, as the file
says; a runtime fuses them into integer kernels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import ModelProto

from engine.errors import ProviderUnavailable
from engine.specs import DEFAULT_RUNTIME

EMULATED = "emulated"
Reader = Callable[[dict[str, np.ndarray]], list[np.ndarray]]
"""Takes the inputs by name, returns the outputs in the order of the graph."""


def _emulated(model: ModelProto, precision: str, threads: int) -> Reader:
    from engine.runtimes.observing import plain_session_of

    session = plain_session_of(model, threads)
    return lambda feeds: session.run_inputs(None, feeds)


def _onnxruntime(model: ModelProto, precision: str, threads: int) -> Reader:
    from engine.runtimes.observing import small_session_of

    session = small_session_of(model, threads)
    return lambda feeds: session.run_inputs(None, feeds)


def _openvino(model: ModelProto, precision: str, threads: int) -> Reader:
    from engine.runtimes.openvino import reader_of

    return reader_of(model.SerializeToString(), precision, threads)


_READERS: dict[str, Callable[[ModelProto, str, int], Reader]] = {
    EMULATED: _emulated,
    DEFAULT_RUNTIME: _onnxruntime,
    "openvino": _openvino,
}
READABLE = tuple(name for name in _READERS if name != EMULATED)
"""The runtimes whose tensors can be read."""


def open_reader(name: str, model: ModelProto, precision: str, threads: int) -> Reader:
    """A reader of this runtime, or of EMULATED; raises ProviderUnavailable with a sentence."""
    if name not in _READERS:
        raise ProviderUnavailable(
            f"The tensors of runtime {name} cannot be read: choose {' or '.join(READABLE)}."
        )
    return _READERS[name](model, precision, threads)

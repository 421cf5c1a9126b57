"""Reads Paddle's .pdparams without Paddle: a pickle of numpy arrays by name.

Only a few globals are accepted: numpy's array and dtype constructors and, in older protocols, the
functions that convert text to bytes. None of them is called: stand-ins record the pickled shape,
type and bytes, from which the tensor is created. paddle.save writes protocols 2 to 4.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import torch

from engine.checkpoints.safe_unpickler import InertUnpickler, Restorable, refuse_class
from engine.errors import CheckpointRejected
from engine.text import shown

# An entry that paddle.save adds: the parameter names inside the framework.
PARAMETER_NAMES = "StructuredToParameterName@@"
SPLIT_TENSORS = "UnpackBigParamInfor@@"
DTYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i4": torch.int32,
    "i8": torch.int64,
}


class PickledDtype(Restorable):
    """Stand-in for numpy.dtype: the type code, such as `f4`."""

    def __init__(self, code: str, *_flags: Any) -> None:
        self.code = str(code)
        self.byte_order = "="

    def restore(self, state: Any) -> None:
        """Sets the state (version, byte order, ...)."""
        self.byte_order = state[1]

    def torch_dtype(self) -> torch.dtype:
        """Returns the torch type; raises UnpicklingError for non-numeric types."""
        if self.code not in DTYPES:
            raise pickle.UnpicklingError(f"it contains an array of type {self.code!r}")
        if self.byte_order != "<":
            raise pickle.UnpicklingError("it contains an array that is not little endian")
        return DTYPES[self.code]


class PickledArray(Restorable):
    """Stand-in for numpy.ndarray; `tensor` is set by its state."""

    def __init__(self, *_empty: Any) -> None:
        self.tensor: torch.Tensor | None = None

    def restore(self, state: Any) -> None:
        """Sets the state (version, shape, dtype, Fortran order, bytes)."""
        _version, shape, dtype, fortran, data = state
        if not isinstance(dtype, PickledDtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("it contains an array without numbers")
        kind = dtype.torch_dtype()
        if any(size < 0 for size in shape) or math.prod(shape) * kind.itemsize != len(data):
            raise pickle.UnpicklingError("it contains an array whose shape does not fit its data")
        flat = torch.frombuffer(bytearray(data), dtype=kind) if data else torch.empty(0, dtype=kind)
        if fortran:
            self.tensor = (
                flat.reshape(shape[::-1]).permute(*reversed(range(len(shape)))).contiguous()
            )
        else:
            self.tensor = flat.reshape(shape)


def _encode(text: str, encoding: str) -> bytes:
    """Protocols 2 and 3 store bytes as latin-1 text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it contains bytes encoded as {encoding}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """Protocol 2 stores the data of an empty array as a call of `bytes`."""
    return b""


ACCEPTED_GLOBALS = {
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "dtype"): PickledDtype,
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("_codecs", "encode"): _encode,
}


def read_pdparams(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a .pdparams file by Paddle's structured names.

    Raises CheckpointRejected for anything that paddle.save does not write; no code is run.
    """
    try:
        with path.open("rb") as file:
            content = InertUnpickler(file, ACCEPTED_GLOBALS, unknown=refuse_class).load()
        return _tensors(content)
    except pickle.UnpicklingError as error:
        raise CheckpointRejected(
            f"{path.name} is not a readable weights file: {error}; no code in it was run. "
            "Give the .pdparams as downloaded, or a state dict saved with torch.save."
        ) from error


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"it contains a {type(content).__name__}, not weights by name")
    if SPLIT_TENSORS in content:
        raise pickle.UnpicklingError("it contains tensors above 1 GB that are split")
    arrays = {key: value for key, value in content.items() if key != PARAMETER_NAMES}
    for key, value in arrays.items():
        if not isinstance(key, str) or not isinstance(value, PickledArray) or value.tensor is None:
            raise pickle.UnpicklingError(f"its entry {shown(key)} is not an array")
    return {key: array.tensor for key, array in arrays.items()}

"""Paddle's .pdparams without Paddle: one pickle of numpy arrays by name.

Few globals belong in it: numpy's array and dtype constructors, and in the older protocols what
makes bytes from text. None of them is called: stand-ins keep the pickled shape, type and bytes,
and the tensor is made from those. Any other global is refused. paddle.save writes protocols 2 to 4.
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

# paddle.save adds this entry: the names of the parameters inside the framework.
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
    """Stands for numpy.dtype: the type's code, such as `f4`."""

    def __init__(self, code: str, *_flags: Any) -> None:
        self.code = str(code)
        self.byte_order = "="

    def restore(self, state: Any) -> None:
        """Take (version, byte order, ...)."""
        self.byte_order = state[1]

    def torch_dtype(self) -> torch.dtype:
        """Return torch's type; raise for objects, strings and other non-numbers."""
        if self.code not in DTYPES:
            raise pickle.UnpicklingError(f"it holds an array of type {self.code!r}")
        if self.byte_order != "<":
            raise pickle.UnpicklingError("it holds an array that is not little endian")
        return DTYPES[self.code]


class PickledArray(Restorable):
    """Stands for numpy.ndarray between its construction and its state."""

    def __init__(self, *_empty: Any) -> None:
        self.tensor: torch.Tensor | None = None

    def restore(self, state: Any) -> None:
        """Take (version, shape, dtype, Fortran order, bytes)."""
        _version, shape, dtype, fortran, data = state
        if not isinstance(dtype, PickledDtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("it holds an array without numbers")
        kind = dtype.torch_dtype()
        if any(size < 0 for size in shape) or math.prod(shape) * kind.itemsize != len(data):
            raise pickle.UnpicklingError("it holds an array whose shape does not fit its data")
        flat = torch.frombuffer(bytearray(data), dtype=kind) if data else torch.empty(0, dtype=kind)
        if fortran:
            self.tensor = (
                flat.reshape(shape[::-1]).permute(*reversed(range(len(shape)))).contiguous()
            )
        else:
            self.tensor = flat.reshape(shape)


def _encode(text: str, encoding: str) -> bytes:
    """Protocols 2 and 3 keep bytes as latin-1 text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes as {encoding}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """Protocol 2 writes the data of an empty array as a call of `bytes`."""
    return b""


KNOWN = {
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "dtype"): PickledDtype,
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("_codecs", "encode"): _encode,
}


def read_pdparams(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .pdparams file by Paddle's structured names.

    Raises CheckpointRejected for anything that paddle.save does not write; nothing is run.
    """
    try:
        with path.open("rb") as file:
            content = InertUnpickler(file, KNOWN, unknown=refuse_class).load()
        return _tensors(content)
    except pickle.UnpicklingError as error:
        raise CheckpointRejected(
            f"{path.name} is not a readable file of weights: {error}; nothing in it was run. "
            "Give the .pdparams as downloaded, or a state dict saved with torch.save."
        ) from error


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not weights by name")
    if SPLIT_TENSORS in content:
        raise pickle.UnpicklingError("it holds tensors above 1 GB in pieces")
    arrays = {key: value for key, value in content.items() if key != PARAMETER_NAMES}
    for key, value in arrays.items():
        if not isinstance(key, str) or not isinstance(value, PickledArray) or value.tensor is None:
            raise pickle.UnpicklingError(f"its entry {shown(key)} is not an array")
    return {key: array.tensor for key, array in arrays.items()}

"""Reads Paddle inference parameters (.pdiparams): a stream of tensors without names.

Format of a tensor, little endian: uint32 version 0, uint64 LoD levels 0, uint32 version 0, int32
length of a protobuf TensorDesc {1: data type, 2: dims}, the TensorDesc, the values. The tensors
are sorted by parameter name; the names come from the model file next to it (.pdmodel, .json), from
.info, or from the architecture. The weights are the same with and without a final softmax.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch

from engine.checkpoints.ppcls_names import names_by_shapes
from engine.checkpoints.protobuf import ProtobufDamaged, integers, messages, texts
from engine.checkpoints.safe_unpickler import InertUnpickler, refuse_class
from engine.errors import CheckpointRejected

STREAM_PREFIX = bytes(16)
# TensorDesc.data_type, see Paddle's framework.proto.
DTYPES = {2: torch.int32, 3: torch.int64, 4: torch.float16, 5: torch.float32, 6: torch.float64}
FEED_AND_FETCH = {9, 10}
MAX_DESC_BYTES = 1024
MAX_RANK, MAX_TENSORS, MAX_NAMES_BYTES = 8, 20_000, 200_000_000


class StreamDamaged(Exception):
    """The message completes a sentence that begins with the file name."""


def read_pdiparams(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a .pdiparams file by parameter name, such as `res2a_branch2a_weights`.

    Raises CheckpointRejected if the file is damaged or the names cannot be determined.
    """
    try:
        with path.open("rb") as file:
            tensors = list(islice(_stream(file, path.stat().st_size), MAX_TENSORS + 1))
        if len(tensors) > MAX_TENSORS:
            raise StreamDamaged(f"contains more than {MAX_TENSORS:,} tensors, the supported limit")
        names = _names(path, tensors)
    except StreamDamaged as error:
        raise CheckpointRejected(
            f"{path.name} {error}; download the inference model again, with all its files."
        ) from error
    return dict(zip(names, tensors, strict=True))


def _stream(file: BinaryIO, size: int) -> Iterator[torch.Tensor]:
    while file.tell() < size:
        version, levels, tensor_version, length = struct.unpack("<IQIi", _exactly(file, 20))
        if version or levels or tensor_version or not 0 < length <= MAX_DESC_BYTES:
            raise StreamDamaged("is not a Paddle parameter file, or is damaged")
        try:
            desc = _exactly(file, length)
            (code,), shape = integers(desc, 1), integers(desc, 2)
        except (ProtobufDamaged, ValueError) as error:
            raise StreamDamaged("is damaged") from error
        if code not in DTYPES:
            raise StreamDamaged(f"contains a tensor of unknown type {code}")
        n_bytes = math.prod(shape) * DTYPES[code].itemsize if len(shape) <= MAX_RANK else 0
        if not 0 < n_bytes <= size:
            raise StreamDamaged("is truncated or damaged")
        raw = bytearray(_exactly(file, n_bytes))
        yield torch.frombuffer(raw, dtype=DTYPES[code]).reshape(shape)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise StreamDamaged("is truncated")
    return data


def _names(path: Path, tensors: list[torch.Tensor]) -> list[str]:
    """Returns the sorted parameter names, from a companion file or from the architecture."""
    for suffix, read in NAME_FILES.items():
        companion = path.with_suffix(suffix)
        if companion.is_file():
            if companion.stat().st_size > MAX_NAMES_BYTES:
                raise StreamDamaged(
                    f"cannot be read, because {companion.name} is larger than "
                    f"{MAX_NAMES_BYTES / 1e6:.0f} MB"
                )
            try:
                names = sorted({str(name) for name in read(companion.read_bytes())})
            except Exception as error:  # damage raises many kinds of errors
                raise StreamDamaged(
                    f"cannot be read, because {companion.name} is damaged"
                ) from error
            if len(names) != len(tensors):
                raise StreamDamaged(
                    f"contains {len(tensors)} tensors, but {companion.name} has {len(names)} names"
                )
            return names
    names_of_architecture = names_by_shapes([tuple(tensor.shape) for tensor in tensors])
    if names_of_architecture is None:
        raise StreamDamaged("fits no PaddleClas model of the catalog, and has no model file")
    return names_of_architecture


def _names_in_pdmodel(data: bytes) -> list[str]:
    """The variables ProgramDesc.blocks(1).vars(3) with persistable(3), without feed and fetch."""
    names = []
    for block in messages(data, 1):
        for variable in messages(block, 3):
            (kind,) = messages(variable, 2)
            if integers(variable, 3) == [1] and integers(kind, 1)[0] not in FEED_AND_FETCH:
                names += texts(variable, 1)
    return names


def _names_in_json(data: bytes) -> list[str]:
    """Operators with `"#": "p"` are parameters; their fourth attribute is the name."""
    return list(_parameters(json.loads(data)))


def _parameters(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("#") == "p":
            yield node["A"][3]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _parameters(item)


def _names_in_info(data: bytes) -> list[str]:
    """A pickle of {name: {...}}; all classes in it are refused."""
    return list(InertUnpickler(BytesIO(data), {}, unknown=refuse_class).load())


NAME_FILES: dict[str, Callable[[bytes], list[str]]] = {
    ".pdmodel": _names_in_pdmodel,
    ".json": _names_in_json,
    ".pdiparams.info": _names_in_info,
}

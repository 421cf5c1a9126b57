"""Reads checkpoints of torch.save without running code in them.

torch.load is only called with weights_only=True. It refuses a file with any unknown object (such
as a numpy scalar in `meta`); such files are read here, with stand-ins for unknown objects. The two
formats of torch.save: a zip of `data.pkl` and `data/<key>` since torch 1.6, and before that a
stream of five pickles followed by the storages.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from engine.checkpoints.safe_unpickler import (
    GlobalTable,
    Inert,
    InertUnpickler,
    Restorable,
    inert_class,
)

ZIP_PREFIX = b"PK\x03\x04"
LEGACY_PREFIX = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class TorchFileRejected(Exception):
    """The message completes a sentence that begins with the file name."""


def read_torch_file(path: Path) -> Any:
    """Returns the object that torch.save wrote, on the CPU, with inert stand-ins where needed.

    For a TorchScript archive, the tensors by name; its code is not read. Raises TorchFileRejected
    for compressed or damaged files.
    """
    with path.open("rb") as file:
        zipped = file.read(len(ZIP_PREFIX)) == ZIP_PREFIX
        if zipped and _is_script(file):
            return _read_script(file)
        file.seek(0)
        if not _is_harmless(file, zipped):
            return _read_inert(file, zipped)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            file.seek(0)
            return _read_inert(file, zipped)
        except Exception as error:
            raise TorchFileRejected("is truncated or damaged") from error


def _is_harmless(file: BinaryIO, zipped: bool) -> bool:
    """Whether the inert reader accepts the pickles; it refuses those that crash the process."""
    try:
        if zipped:
            archive = zipfile.ZipFile(file)
            with archive.open(_pickle_of(archive)) as stream:
                InertUnpickler(stream, {}, persistent=Inert).load()  # type: ignore[arg-type]
        else:
            for _ in range(5):
                InertUnpickler(file, {}, persistent=Inert).load()
        return True
    except Exception:  # the reader that is used next reports the error
        return False
    finally:
        file.seek(0)


def _read_inert(file: BinaryIO, zipped: bool) -> Any:
    try:
        return _read_zip(file) if zipped else _read_legacy(file)
    except Exception as error:
        raise TorchFileRejected(f"cannot be read: {error}") from error


def _read_script(file: BinaryIO) -> dict[str, torch.Tensor]:
    try:
        return tensors_of(_read_zip(file, scripted_class))
    except Exception as error:
        raise TorchFileRejected(f"is a TorchScript program that cannot be read: {error}") from error


def _is_script(file: BinaryIO) -> bool:
    """Whether an archive is TorchScript; raises TorchFileRejected if torch did not write it."""
    try:
        entries = zipfile.ZipFile(file).infolist()
    except Exception as error:  # damage raises many kinds of errors
        raise TorchFileRejected("is truncated or damaged") from error
    names = [entry.filename.partition("/")[2] for entry in entries]
    if "data.pkl" not in names:
        raise TorchFileRejected("is a zip archive, but torch.save did not write it")
    script = any(name == "constants.pkl" or name.startswith("code/") for name in names)
    # torch.save never compresses, and a compressed entry could expand to any size. TorchScript
    # compresses only its code, which is not read.
    read = [e for e, name in zip(entries, names, strict=True) if not script or _is_data(name)]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in read):
        raise TorchFileRejected("is a compressed archive, which torch.save never writes")
    return script


def _is_data(name: str) -> bool:
    return name == "data.pkl" or name.startswith("data/")


def _read_zip(file: BinaryIO, unknown: Callable[[str, str], Any] = inert_class) -> Any:
    archive = zipfile.ZipFile(file)
    pickle_name = _pickle_of(archive)
    folder = pickle_name.removesuffix("data.pkl")
    storages: dict[str, torch.Tensor] = {}

    def storage(pid: Any) -> torch.Tensor:
        _kind, dtype, key, _location, numel = pid
        if key not in storages:
            raw = bytearray(archive.read(f"{folder}data/{key}"))
            storages[key] = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0)
            if storages[key].numel() != numel:
                raise pickle.UnpicklingError(f"its storage {key} has the wrong length")
        return storages[key]

    with archive.open(pickle_name) as stream:
        unpickler = InertUnpickler(stream, _globals(), unknown=unknown, persistent=storage)  # type: ignore[arg-type]
        return unpickler.load()


def _pickle_of(archive: zipfile.ZipFile) -> str:
    return next(name for name in archive.namelist() if name.endswith("/data.pkl"))


def _read_legacy(file: BinaryIO) -> Any:
    size = file.seek(0, 2)
    file.seek(0)
    storages: dict[str, torch.Tensor] = {}

    def storage(pid: Any) -> torch.Tensor:
        kind, dtype, key, _location, numel, view = pid
        if kind != "storage":
            raise pickle.UnpicklingError("it contains a module instead of tensors")
        if numel * dtype.itemsize > size:
            raise pickle.UnpicklingError(f"its storage {key} is larger than the file")
        whole = storages.setdefault(key, torch.zeros(numel, dtype=dtype))
        return whole if view is None else whole[view[1] : view[1] + view[2]]

    for _ in ("magic number", "protocol version", "byte order"):
        InertUnpickler(file, {}).load()
    root = InertUnpickler(file, _globals(), persistent=storage).load()
    for key in InertUnpickler(file, {}).load():
        _fill(storages[key], file)
    return root


def _fill(storage: torch.Tensor, file: BinaryIO) -> None:
    (numel,) = struct.unpack("<q", file.read(8))
    raw = bytearray(file.read(storage.numel() * storage.element_size()))
    if numel != storage.numel() or len(raw) != numel * storage.element_size():
        raise pickle.UnpicklingError("its storages are truncated")
    if numel:
        storage.copy_(torch.frombuffer(raw, dtype=storage.dtype))


def _globals() -> GlobalTable:
    return {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        **{("torch", name): dtype for name, dtype in _STORAGE_DTYPES.items()},
    }


def _rebuild_tensor(
    storage: torch.Tensor, offset: int, size: Any, stride: Any, *_autograd: Any
) -> torch.Tensor:
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _rebuild_parameter(data: torch.Tensor, *_autograd: Any) -> torch.Tensor:
    return data


_STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


MAX_DEPTH = 64


class ScriptedModule(Inert, Restorable):
    """Stand-in for a TorchScript module: stores its attributes."""

    def restore(self, state: Any) -> None:
        """Sets the attributes."""
        if isinstance(state, dict):
            self.update(state)


def scripted_class(module: str, name: str) -> type[ScriptedModule]:
    """Returns a stand-in class for a class of the TorchScript program."""
    return type("ScriptedModule", (ScriptedModule,), {"origin": f"{module}.{name}"})


def tensors_of(root: Any) -> dict[str, torch.Tensor]:
    """Returns parameters and buffers by dotted name; empty if there are none."""
    return dict(_walk(root, (), 0))


def _walk(part: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(part, torch.Tensor):
        yield ".".join(path), part
    elif isinstance(part, ScriptedModule) and depth < MAX_DEPTH:
        for name, value in part.items():
            yield from _walk(value, (*path, str(name)), depth + 1)

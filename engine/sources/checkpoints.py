"""A file of weights to a dict of tensors, whatever framework wrote it; nothing in it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from engine.errors import CheckpointRejected
from engine.sources.inert import Inert
from engine.sources.paddle_inference import STREAM_PREFIX, read_pdiparams
from engine.sources.paddle_params import read_pdparams
from engine.sources.torch_files import (
    LEGACY_PREFIX,
    ZIP_PREFIX,
    TorchFileRejected,
    read_torch_file,
)

# Where training programs put the state dict: mmcls and timm, most others, timm's average last.
WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema")
MAX_WRAPPERS = 3
# Put before every key by DataParallel and by torch.compile.
PREFIXES = ("module.", "_orig_mod.")
SAVE_STATE_DICT = "save its state dict with torch.save(model.state_dict(), ...) and give that"
# What a failed or mistaken download begins with.
NOT_WEIGHTS = {
    b"<": "is a web page, not a checkpoint; download it again",
    b"version https://git-lfs": "is a Git LFS pointer; fetch the file it points to",
    b"\x1f\x8b": "is a gzip archive; unpack it and give the file inside",
    b"\x08": "looks like an ONNX model; import it as a model, it is no checkpoint",
}


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU, in the file's own names.

    Reads safetensors, files of torch.save, and Paddle's .pdparams and .pdiparams, told apart by
    their content. Wrappers (`state_dict`, `model`, ...) and a common `module.` are taken off.
    Raises CheckpointRejected, naming the file, what is wrong with it and the way out.
    """
    if not path.is_file():
        raise CheckpointRejected(f"{path} is not a file; give the path of a checkpoint.")
    try:
        with path.open("rb") as file:
            head = file.read(64)
        tensors = _reader(path, head)(path)
    except OSError as error:
        raise CheckpointRejected(f"{path.name} cannot be read: {error.strerror}.") from error
    if not tensors:
        raise CheckpointRejected(f"{path.name} holds no tensors; give a checkpoint with weights.")
    return _strip_prefix(tensors)


def _reader(path: Path, head: bytes) -> Callable[[Path], dict[str, torch.Tensor]]:
    if not head:
        raise CheckpointRejected(f"{path.name} is empty; download it again.")
    if head.startswith((ZIP_PREFIX, LEGACY_PREFIX)):
        return _read_torch
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _read_safetensors
    if path.suffix == ".pdiparams" or head.startswith(STREAM_PREFIX):
        return read_pdiparams
    if path.suffix == ".pdparams" or head[:1] == b"\x80":
        return read_pdparams
    for prefix, what in NOT_WEIGHTS.items():
        if head.startswith(prefix):
            raise CheckpointRejected(f"{path.name} {what}.")
    raise CheckpointRejected(
        f"{path.name} is not a checkpoint; give a .safetensors, .pth, .pdparams or .pdiparams file."
    )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointRejected(
            f"{path.name} is a truncated or damaged safetensors file; download it again."
        ) from error


def _read_torch(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = read_torch_file(path)
    except TorchFileRejected as error:
        raise CheckpointRejected(
            f"{path.name} {error}; give the file of a state dict saved with torch.save."
        ) from error
    return _require_tensors(path.name, _unwrap(path.name, content))


def _unwrap(name: str, content: Any) -> Mapping[Any, Any]:
    for _ in range(MAX_WRAPPERS):
        inner = next((content[key] for key in WRAPPERS if _wraps(content, key)), None)
        if inner is None:
            break
        content = inner
    if isinstance(content, Inert):
        raise CheckpointRejected(
            f"{name} is a pickle of {content.origin}, which is never run; {SAVE_STATE_DICT}."
        )
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointRejected(f"{name} holds a {kind}, not a state dict; {SAVE_STATE_DICT}.")
    return content


def _wraps(content: Any, key: str) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get(key), Mapping)


def _require_tensors(name: str, state: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            kind = value.origin if isinstance(value, Inert) else type(value).__name__
            raise CheckpointRejected(
                f"{name} is not a state dict: its entry {key!r} is a {kind}, not a tensor; "
                f"{SAVE_STATE_DICT}."
            )
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise CheckpointRejected(
                f"{name} holds {key!r} as a sparse, quantised or empty tensor; "
                "give a checkpoint with plain floating-point weights."
            )
    return {key: value.detach() for key, value in state.items()}


def _strip_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state

"""Reads weights files of several frameworks into a dict of tensors; no code in them is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.checkpoints.paddle_inference import STREAM_PREFIX, read_pdiparams
from engine.checkpoints.paddle_params import read_pdparams
from engine.checkpoints.safe_unpickler import Inert
from engine.checkpoints.torch_files import (
    LEGACY_PREFIX,
    ZIP_PREFIX,
    TorchFileRejected,
    read_torch_file,
)
from engine.checkpoints.weight_sets import choose_set, chosen_set_remark, first_keys
from engine.common.files import is_file
from engine.errors import CheckpointRejected
from engine.text import plural

Sets = dict[str, Mapping[Any, Any]]
WRAPPERS = ("state_dict", "model", "model_state_dict")

MAX_DEPTH = 3
# Sets with fewer tensors than this share of the largest set are no networks, but e.g. a loss.
MIN_SHARE = 0.5
# Scalars that profilers and weight averaging store next to the weights.
COUNTERS = ("total_ops", "total_params", "n_averaged", "steps", "num_updates")
# The normalization inside mmpretrain's networks.
_PREPROCESSOR = re.compile(r"(?:^|\.)data_preprocessor\.")
# Observers of quantization-aware training, in torch and TensorRT's toolkit.
_OBSERVERS = re.compile(
    r"(?:^|\.)(?:\w+_fake_quant|activation_post_process(?:_\d+)?|_\w+_quantizer)\."
)
# Wrapper modules of torch.compile, FSDP and activation checkpointing, at any depth.
_WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
# OpenMMLab's EMAHook stores the average of `backbone.conv1.weight` as `ema_backbone_conv1_weight`.
HOOK_PREFIX, HOOK_SET = "ema_", "ema"
SAVE_STATE_DICT = "save its state dict with torch.save(model.state_dict(), ...) and give that"
# The first bytes of files from failed or wrong downloads.
NOT_WEIGHTS = {
    b"<": "is a web page, not a checkpoint; download it again",
    b"version https://git-lfs": "is a Git LFS pointer; fetch the file it points to",
    b"\x1f\x8b": "is a gzip archive; unpack it and give the file inside",
    b"\x08": "looks like an ONNX model, not a checkpoint; import it as a model",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights of a file, with the keys of the file, on the CPU.

    `key` is a --weights-key that is not a set of the file; it may still be a prefix in this set.
    `names` are the sets of the file; `remarks` state which set was used and what was ignored.
    """

    file: str
    tensors: dict[str, torch.Tensor]
    key: str | None = None
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Reads one set of weights of a file: the set named `key`, else the default set.

    Reads safetensors, files of torch.save, and Paddle's .pdparams and .pdiparams, detected by
    content. Counters, the normalization of mmpretrain, and observers are ignored.
    Raises CheckpointRejected with the file, the problem and the way out.
    """
    if not is_file(path):
        raise CheckpointRejected(f"{path} is not a file; give the path of a checkpoint.")
    try:
        with path.open("rb") as file:
            head = file.read(64)
        sets = _reader(path, head)(path)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointRejected(f"{path.name} cannot be read: {reason}.") from error
    except MemoryError as error:
        raise CheckpointRejected(
            f"{path.name} declares more data than fits into the memory of this machine; "
            f"download it again."
        ) from error
    selected = key if key in sets else choose_set(list(sets), path.name, key)
    checkpoint = _apply_ema_hook(
        Checkpoint(
            path.name,
            _require_tensors(path.name, sets[selected]),
            None if key in sets else key,
            tuple(sets) if len(sets) > 1 else (),
            (chosen_set_remark(selected, list(sets), path.name),)
            if len(sets) > 1 and key is None
            else (),
        )
    )
    if not checkpoint.tensors:
        raise CheckpointRejected(
            f"{path.name} contains no tensors; give a checkpoint with weights."
        )
    return _remove_non_weights(_unwrap(checkpoint))


def _reader(path: Path, head: bytes) -> Callable[[Path], Sets]:
    if not head:
        raise CheckpointRejected(f"{path.name} is empty; download it again.")
    if head.startswith((ZIP_PREFIX, LEGACY_PREFIX)):
        return _read_torch
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _read_safetensors
    if path.suffix == ".pdiparams" or head.startswith(STREAM_PREFIX):
        return lambda path: {"": read_pdiparams(path)}
    if path.suffix == ".pdparams" or head[:1] == b"\x80":
        return lambda path: {"": read_pdparams(path)}
    for prefix, what in NOT_WEIGHTS.items():
        if head.startswith(prefix):
            raise CheckpointRejected(f"{path.name} {what}.")
    raise CheckpointRejected(
        f"{path.name} is not a checkpoint; give a .safetensors, .pth, .pdparams or .pdiparams file."
    )


def _read_safetensors(path: Path) -> Sets:
    try:
        return {"": load_file(path)}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged header raises many kinds of errors
        raise CheckpointRejected(
            f"{path.name} is a truncated or damaged safetensors file; download it again."
        ) from error


def _read_torch(path: Path) -> Sets:
    try:
        content = read_torch_file(path)
    except TorchFileRejected as error:
        raise CheckpointRejected(
            f"{path.name} {error}; give the file of a state dict saved with torch.save."
        ) from error
    sets = _sets(content, set())
    largest = max((_n_tensors(state) for state in sets.values()), default=0)
    if not largest or _n_tensors(content) > largest:
        return {"": _innermost(path.name, content)}
    return {name: s for name, s in sets.items() if _n_tensors(s) >= MIN_SHARE * largest}


def _sets(content: Any, visited: set[int], depth: int = 0) -> Sets:
    """All nested dicts that contain tensors; a name is the path of keys, joined by dots.

    If there is only one such dict below a key, this key is its name. `visited` (ids) avoids
    walking shared dicts more than once.
    """
    sets: Sets = {}
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return sets
    for key, value in content.items():
        wanted = isinstance(key, str) and isinstance(value, Mapping) and "optim" not in key.lower()
        if not wanted or id(value) in visited:
            continue
        visited.add(id(value))
        inner = {"": value} if _n_tensors(value) else _sets(value, visited, depth + 1)
        for name, state in inner.items():
            sets[key if len(inner) == 1 else f"{key}.{name}"] = state
    return sets


def _n_tensors(content: Any) -> int:
    if not isinstance(content, Mapping):
        return 0
    return sum(isinstance(value, torch.Tensor) for value in content.values())


def _innermost(name: str, content: Any) -> Mapping[Any, Any]:
    """The state dict of a file without named sets.

    Raises CheckpointRejected for a pickled network, or with the type of the content.
    """
    for _ in range(MAX_DEPTH):
        inner = next((content[key] for key in WRAPPERS if _wraps(content, key)), None)
        if inner is None:
            break
        content = inner
    if isinstance(content, Inert):
        raise CheckpointRejected(
            f"{name} is a pickle of {content.origin}, which is not loaded for security; "
            f"{SAVE_STATE_DICT}."
        )
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointRejected(f"{name} contains a {kind}, not a state dict; {SAVE_STATE_DICT}.")
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
                f"{name} contains {key!r} as a sparse, quantized or empty tensor; "
                "give a checkpoint with plain floating-point weights."
            )
    return {key: value.detach() for key, value in state.items()}


def _apply_ema_hook(checkpoint: Checkpoint) -> Checkpoint:
    """Replaces the weights by the averages of an EMAHook, if requested; else removes the averages.

    Only trained parameters have averages; the statistics of batch norms are those of the weights.
    """
    parts = [(key, *key.rpartition(".")[::2]) for key in checkpoint.tensors]
    heads = {head for _, head, last in parts if last.startswith(HOOK_PREFIX)}
    originals = {
        (head, key[len(head) :].lstrip(".").replace(".", "_")): key
        for head in heads
        for key in checkpoint.tensors
        if not head or key.startswith(f"{head}.")
    }
    averages = {
        key: originals[head, last.removeprefix(HOOK_PREFIX)]
        for key, head, last in parts
        if (head, last.removeprefix(HOOK_PREFIX)) in originals and last.startswith(HOOK_PREFIX)
    }
    if not averages:
        return checkpoint
    tensors = {key: value for key, value in checkpoint.tensors.items() if key not in averages}
    requested = checkpoint.key is not None and checkpoint.key.rstrip("_.*") == HOOK_SET
    if requested:
        tensors |= {original: checkpoint.tensors[key] for key, original in averages.items()}
    described = f"{len(averages)} averages of an EMA hook ({first_keys(list(averages))})"
    remark = (
        f"{checkpoint.file}: {described} are used instead of the trained weights."
        if requested
        else f"{checkpoint.file} also contains {described}; the trained weights are used. Use the "
        f"averages with `--weights-key {HOOK_SET}`."
    )
    return replace(
        checkpoint,
        tensors=tensors,
        key=None if requested else checkpoint.key,
        names=(*checkpoint.names, HOOK_SET),
        remarks=(*checkpoint.remarks, remark),
    )


def _unwrap(checkpoint: Checkpoint) -> Checkpoint:
    """Removes the names of wrapper modules from the keys, at any depth."""
    bare = {_WRAPPERS.sub("", key): tensor for key, tensor in checkpoint.tensors.items()}
    if len(bare) < len(checkpoint.tensors):
        return checkpoint
    dotted = f"{(checkpoint.key or '').rstrip('.')}."
    key = _WRAPPERS.sub("", dotted) if _WRAPPERS.search(dotted) else ""
    return replace(checkpoint, tensors=bare, key=key or checkpoint.key)


def _remove_non_weights(checkpoint: Checkpoint) -> Checkpoint:
    """Removes tensors that no network computes with, with remarks."""
    weights: dict[str, torch.Tensor] = {}
    ignored: dict[str, list[str]] = {}
    for key, tensor in checkpoint.tensors.items():
        last = key.rpartition(".")[2]
        if last in COUNTERS and tensor.numel() <= 1:
            ignored.setdefault("counters", []).append(key)
        elif _PREPROCESSOR.search(key):
            ignored.setdefault("input normalization", []).append(key)
        elif _OBSERVERS.search(key):
            ignored.setdefault("observers of quantization-aware training", []).append(key)
        else:
            weights[key] = tensor
    remarks = [
        f"{checkpoint.file}: ignored {plural(len(keys), 'tensor')} that are "
        f"not weights: {what} ({first_keys(keys)})."
        for what, keys in ignored.items()
    ]
    return replace(checkpoint, tensors=weights, remarks=(*checkpoint.remarks, *remarks))

"""A file of weights to a dict of tensors, whatever framework wrote it; nothing in it is run."""

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
from engine.checkpoints.weight_sets import choose_set, shown, told_set
from engine.common.files import is_file
from engine.errors import CheckpointRejected

Sets = dict[str, Mapping[Any, Any]]
WRAPPERS = ("state_dict", "model", "model_state_dict")

MAX_DEPTH = 3
# Sets of far fewer tensors than the largest are no networks: a loss, a center, a random state.
LEAST_SHARE = 0.5
# What profilers and averages count beside the weights, one number each.
COUNTERS = ("total_ops", "total_params", "n_averaged", "steps", "num_updates")
# The normalization that mmpretrain's networks carry along.
_PREPROCESSOR = re.compile(r"(?:^|\.)data_preprocessor\.")
# What training for int8 observed, of torch and of TensorRT's toolkit; the weights are floats.
_OBSERVED = re.compile(
    r"(?:^|\.)(?:\w+_fake_quant|activation_post_process(?:_\d+)?|_\w+_quantizer)\."
)
# What torch's compile, FSDP and activation checkpointing put around modules, at any depth.
_WRAPPING = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
# OpenMMLab's EMAHook keeps an average of `backbone.conv1.weight` as `ema_backbone_conv1_weight`.
HOOK_PREFIX, HOOK_SET = "ema_", "ema"
SAVE_STATE_DICT = "save its state dict with torch.save(model.state_dict(), ...) and give that"
# What a failed or mistaken download begins with.
NOT_WEIGHTS = {
    b"<": "is a web page, not a checkpoint; download it again",
    b"version https://git-lfs": "is a Git LFS pointer; fetch the file it points to",
    b"\x1f\x8b": "is a gzip archive; unpack it and give the file inside",
    b"\x08": "looks like an ONNX model; import it as a model, it is no checkpoint",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights of a file, by the file's own names, on the CPU.

    `key` is a --weights-key that names none of the file's sets: it may still name a part of this
    one. `names` are those of the sets, `remarks` say what was taken and what was left out.
    """

    file: str
    tensors: dict[str, torch.Tensor]
    key: str | None = None
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Reads one set of weights of a file: the one called `key`, else the usual one.

    Reads safetensors, files of torch.save, and Paddle's .pdparams and .pdiparams, told apart by
    their content. Counters and the normalization of mmpretrain are left out.
    Raises CheckpointRejected, naming the file, what is wrong with it and the way out.
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
            f"{path.name} says that it holds more than fits into the memory of this machine; "
            f"download it again."
        ) from error
    taken = key if key in sets else choose_set(list(sets), path.name, key)
    found = _of_hook(
        Checkpoint(
            path.name,
            _require_tensors(path.name, sets[taken]),
            None if key in sets else key,
            tuple(sets) if len(sets) > 1 else (),
            (told_set(taken, list(sets), path.name),) if len(sets) > 1 and key is None else (),
        )
    )
    if not found.tensors:
        raise CheckpointRejected(f"{path.name} holds no tensors; give a checkpoint with weights.")
    return _without(_unwrapped(found))


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
    except Exception as error:  # damage of the header shows as any of a dozen errors
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
    most = max((_tensors_in(state) for state in sets.values()), default=0)
    if not most or _tensors_in(content) > most:
        return {"": _innermost(path.name, content)}
    return {name: s for name, s in sets.items() if _tensors_in(s) >= LEAST_SHARE * most}


def _sets(content: Any, seen: set[int], depth: int = 0) -> Sets:
    """The dicts that hold tensors by name, anywhere within, by the keys that lead to them.

    Where only one lies behind a key, that key is its whole name. `seen` keeps dicts that share
    dicts from being walked once for each way to them.
    """
    found: Sets = {}
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return found
    for key, value in content.items():
        wanted = isinstance(key, str) and isinstance(value, Mapping) and "optim" not in key.lower()
        if not wanted or id(value) in seen:
            continue
        seen.add(id(value))
        inner = {"": value} if _tensors_in(value) else _sets(value, seen, depth + 1)
        for name, state in inner.items():
            found[key if len(inner) == 1 else f"{key}.{name}"] = state
    return found


def _tensors_in(content: Any) -> int:
    if not isinstance(content, Mapping):
        return 0
    return sum(isinstance(value, torch.Tensor) for value in content.values())


def _innermost(name: str, content: Any) -> Mapping[Any, Any]:
    """What a file without named sets holds: a state dict itself, or what is refused for being none.

    Raises CheckpointRejected naming a pickled network, or what it is instead.
    """
    for _ in range(MAX_DEPTH):
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
                f"{name} holds {key!r} as a sparse, quantized or empty tensor; "
                "give a checkpoint with plain floating-point weights."
            )
    return {key: value.detach() for key, value in state.items()}


def _of_hook(found: Checkpoint) -> Checkpoint:
    """Takes the averages of an EMAHook for the weights that they are of where they are asked for.

    They are of the trained parameters only: what normalizations have seen is that of the weights.
    """
    parts = [(key, *key.rpartition(".")[::2]) for key in found.tensors]
    heads = {head for _, head, last in parts if last.startswith(HOOK_PREFIX)}
    originals = {
        (head, key[len(head) :].lstrip(".").replace(".", "_")): key
        for head in heads
        for key in found.tensors
        if not head or key.startswith(f"{head}.")
    }
    averages = {
        key: originals[head, last.removeprefix(HOOK_PREFIX)]
        for key, head, last in parts
        if (head, last.removeprefix(HOOK_PREFIX)) in originals and last.startswith(HOOK_PREFIX)
    }
    if not averages:
        return found
    tensors = {key: value for key, value in found.tensors.items() if key not in averages}
    asked = found.key is not None and found.key.rstrip("_.*") == HOOK_SET
    if asked:
        tensors |= {original: found.tensors[key] for key, original in averages.items()}
    several = f"{len(averages)} averages of an EMA hook ({shown(list(averages))})"
    told = (
        f"{found.file}: {several} were taken for the weights that they are of."
        if asked
        else f"{found.file} holds {several} beside the weights: the weights were taken; "
        f"`--weights-key {HOOK_SET}` takes the averages instead."
    )
    return replace(
        found,
        tensors=tensors,
        key=None if asked else found.key,
        names=(*found.names, HOOK_SET),
        remarks=(*found.remarks, told),
    )


def _unwrapped(found: Checkpoint) -> Checkpoint:
    """Takes wrapping modules off, at any depth of the keys."""
    bare = {_WRAPPING.sub("", key): tensor for key, tensor in found.tensors.items()}
    if len(bare) < len(found.tensors):
        return found
    dotted = f"{(found.key or '').rstrip('.')}."
    key = _WRAPPING.sub("", dotted) if _WRAPPING.search(dotted) else ""
    return replace(found, tensors=bare, key=key or found.key)


def _without(found: Checkpoint) -> Checkpoint:
    """Leaves out what no network computes with, and says so."""
    kept: dict[str, torch.Tensor] = {}
    left_out: dict[str, list[str]] = {}
    for key, tensor in found.tensors.items():
        last = key.rpartition(".")[2]
        if last in COUNTERS and tensor.numel() <= 1:
            left_out.setdefault("counters", []).append(key)
        elif _PREPROCESSOR.search(key):
            left_out.setdefault("its own normalization", []).append(key)
        elif _OBSERVED.search(key):
            left_out.setdefault("what training for int8 observed", []).append(key)
        else:
            kept[key] = tensor
    remarks = [
        f"{found.file}: {_counted(keys)} left out, beside the weights, as {what} ({shown(keys)})."
        for what, keys in left_out.items()
    ]
    return replace(found, tensors=kept, remarks=(*found.remarks, *remarks))


def _counted(keys: list[str]) -> str:
    return "1 tensor was" if len(keys) == 1 else f"{len(keys)} tensors were"

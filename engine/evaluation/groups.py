"""Which machines may compute shards of one evaluation: those with the same outputs to the bit.

The first one to compute a shard founds the group: its kernel class, and the digest of what a fixed
batch gives through this very build. Another machine joins only if it has both. The founding is
kept beside the shards: in the shared store, and in the home.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.common.digests import data_digest
from engine.common.files import write_text
from engine.errors import OtherOutputs
from engine.evaluation.task import Task
from engine.export.verify import probe_inputs
from engine.store import shared
from engine.store.objects import shared_store

FILE = "group.json"
ABANDONED_S = 3600.0
"""A group without a new shard for so long makes way for machines that cannot join it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The machine that founded a group: all its facts, its kernel class, its probe digest."""

    facts: dict[str, Any]
    kernels: dict[str, Any]
    probe: str

    @property
    def host(self) -> str:
        """The name of the founding machine."""
        return str(self.facts.get("host"))

    def folder(self, task: Task) -> str:
        """The folder of its shards in the shared store."""
        return f"{_folder(task)}/{data_digest([self.kernels, self.probe])[:16]}"

    def why_not(self, task: Task, probe: str | None = None) -> str | None:
        """Why this machine computes no shards for the group, with the way out; None if it may.

        `probe`: None where the build is not loaded yet.
        """
        refusal = f"This machine does not join the shards of this evaluation by {self.host}: "
        if self.kernels != task.kernels:
            return refusal + _difference(task.kernels, self.kernels)
        if probe is not None and probe != self.probe:
            return refusal + (
                "the same batch through this build gives other bits here, although the libraries "
                "are the same. Evaluate on machines with one model of processor."
            )
        return None


def _difference(here: dict[str, Any], there: dict[str, Any]) -> str:
    """`onnxruntime 1.31.0 here, onnxruntime 1.32.0 there. Install ...`: the first difference."""
    if here["runtime"] != there["runtime"]:
        return (
            f"{here['runtime']} here, {there['runtime']} there. Install the same version on both."
        )
    for name, version in sorted(here["packages"].items()):
        other = there["packages"].get(name)
        if version != other:
            return f"{name} {version} here, {other} there. Install the same version on both."
    if here["threads"] != there["threads"]:
        return (
            f"{here['threads']} threads compute a batch here, {there['threads']} there. Set "
            f"SENET_THREADS to the same number on both."
        )
    return "the processors have other instruction sets. Evaluate on machines of one kind."


def probe_digest(task: Task, run: Callable[[np.ndarray], np.ndarray]) -> str:
    """SHA-256 of the outputs of a build for one fixed batch, preprocessed as the images are."""
    images = np.concatenate(probe_inputs(task.preprocess))
    batch = np.resize(images, (task.spec.batch, *images.shape[1:]))
    return hashlib.sha256(np.ascontiguousarray(run(batch)).tobytes()).hexdigest()


def current(task: Task) -> Group | None:
    """The group of this evaluation; None where no machine has founded one.

    Without a shared store it is that of the shards in the home.
    """
    store = shared_store()
    return _local(task) if store is None else _read(store.read_text(f"{_folder(task)}/{FILE}"))


def join(task: Task, probe: str, say: Callable[[str], None]) -> Group:
    """The group after this machine has joined or founded it.

    Shards in the home of another group are removed. Raises OtherOutputs where it may not join.
    """
    own = Group(task.surroundings.facts, task.kernels, probe)
    found = _found(task, own)
    reason = found.why_not(task, probe)
    if reason is not None:
        if shared_store() is not None and not is_abandoned(task):
            raise OtherOutputs(reason)
        say(f"Shards of an earlier attempt are computed again. {reason}")
        leave(task)
        found = _found(task, own)
    keep_only(task, found)
    return found


def _found(task: Task, own: Group) -> Group:
    store, name = shared_store(), f"{_folder(task)}/{FILE}"
    if store is None:
        return _local(task) or own
    while (found := current(task)) is None:
        if store.create_text(name, json.dumps(asdict(own))):
            return own
        if current(task) is None:
            store.set_aside(name)
    return found


def keep_only(task: Task, group: Group) -> None:
    """Removes shards in the home that another group has computed."""
    local = _local(task)
    if local is None or (local.kernels, local.probe) != (group.kernels, group.probe):
        # Shards of versions that knew no groups have none, and are those of this home.
        if local is not None or shared_store() is not None:
            shutil.rmtree(task.folder, ignore_errors=True)
        write_text(task.folder / FILE, json.dumps(asdict(group)))


def leave(task: Task) -> None:
    """Removes the group with all its shards, here and in the store."""
    shutil.rmtree(task.folder, ignore_errors=True)
    shared.remove(_folder(task))


def is_abandoned(task: Task) -> bool:
    """Whether no machine has computed a shard for ABANDONED_S."""
    store = shared_store()
    written = [one.modified for one in store.files(_folder(task))] if store is not None else []
    return bool(written) and time.time() - max(written) > ABANDONED_S


def _local(task: Task) -> Group | None:
    path = task.folder / FILE
    return _read(path.read_text()) if path.is_file() else None


def _read(text: str | None) -> Group | None:
    with suppress(ValueError, TypeError):
        return Group(**json.loads(text)) if text else None
    return None


def _folder(task: Task) -> str:
    return f"evaluations/{task.plan}"

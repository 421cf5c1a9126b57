"""The weights inside a TorchScript archive: read as data, the program beside them never run.

`data.pkl` holds the module as a tree of attributes under the network's own names; the code lies in
`code/`, which is not opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from engine.checkpoints.safe_unpickler import Inert, Restorable

MAX_DEPTH = 64


class ScriptedModule(Inert, Restorable):
    """Stands for a module of the program: keeps its attributes, does nothing."""

    def restore(self, state: Any) -> None:
        """Take the attributes."""
        if isinstance(state, dict):
            self.update(state)


def scripted_class(module: str, name: str) -> type[ScriptedModule]:
    """Return a stand-in class for a global of the program."""
    return type("ScriptedModule", (ScriptedModule,), {"origin": f"{module}.{name}"})


def tensors_of(root: Any) -> dict[str, torch.Tensor]:
    """Return parameters and buffers under their dotted names; empty where there are none."""
    return dict(_walk(root, (), 0))


def _walk(part: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(part, torch.Tensor):
        yield ".".join(path), part
    elif isinstance(part, ScriptedModule) and depth < MAX_DEPTH:
        for name, value in part.items():
            yield from _walk(value, (*path, str(name)), depth + 1)

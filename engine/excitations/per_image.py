"""What the SE blocks of a network do to one image: the weight each gives to each channel.

Hu et al., "Squeeze-and-Excitation Networks" (2018), figure 5, plots these activations by block.
They are read from a copy of the fp32 graph in which the gates are outputs beside the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db.models import Artifact
from engine.config import settings
from engine.errors import InvalidRequest
from engine.onnx.se_blocks import find_gates
from engine.preprocess import crop_pixels, normalize, open_image
from engine.store import artifacts

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class Block:
    """One SE block: its place in the network (from 1), its stage, its number of channels.

    A stage is a run of blocks with equally many channels.
    """

    place: int
    stage: int
    channels: int

    @property
    def name(self) -> str:
        """`stage 2, block 4 (256 channels)`."""
        return f"stage {self.stage}, block {self.place} ({self.channels} channels)"


def gate_tensors(model: ModelProto) -> list[tuple[str, int]]:
    """(tensor, channels) of each SE gate, in the order of the network.

    What a gate is: see engine.onnx.se_blocks.
    """
    from engine.onnx.macs.skeleton import build_skeleton

    skeleton = build_skeleton(model, batch=1)
    found: dict[str, int] = {}
    for gate in find_gates(skeleton.nodes, skeleton.shapes, skeleton.constants):
        found.setdefault(gate.tensor, gate.channels)
    return list(found.items())


def with_gates(model: ModelProto) -> tuple[ModelProto, list[tuple[str, int]]]:
    """A copy whose gates are outputs too. Raises InvalidRequest for a network without SE."""
    from onnx import ModelProto, TensorProto, helper

    gates = gate_tensors(model)
    if not gates:
        raise InvalidRequest("This network has no SE block whose excitations could be shown.")
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name, _ in gates
    )
    return copy, gates


def blocks_of(gates: list[tuple[str, int]]) -> list[Block]:
    """The blocks in order, numbered by stage."""
    blocks: list[Block] = []
    for place, (_, channels) in enumerate(gates, 1):
        same = bool(blocks) and blocks[-1].channels == channels
        stage = blocks[-1].stage + (not same) if blocks else 1
        blocks.append(Block(place, stage, channels))
    return blocks


class Excitations:
    """The SE gates of one fp32 artifact, loaded once; safe to use from several threads."""

    def __init__(self, artifact: Artifact) -> None:
        """Raises InvalidRequest for a network without SE, ArtifactMissing."""
        import onnx

        from engine.runtimes.observing import small_session_of

        self.artifact = artifact
        self.preprocess = artifacts.preprocess_of(artifact)
        model, gates = with_gates(onnx.load(artifacts.model_path(artifact.digest)))
        self.blocks = blocks_of(gates)
        self._names = [name for name, _ in gates]
        self._session = small_session_of(model, settings().threads)
        self._input = model.graph.input[0].name

    def of_batch(self, batch: np.ndarray) -> list[np.ndarray]:
        """(n, channels) of each block for prepared images (n, 3, side, side)."""
        found = self._session.run(self._names, {self._input: batch})
        return [values.reshape(len(batch), -1) for values in found]

    def of_image(self, source: Path | bytes, name: str | None = None) -> list[np.ndarray]:
        """(channels,) of each block. Raises ImageRejected."""
        crop = crop_pixels(open_image(source, name), self.preprocess)
        return [values[0] for values in self.of_batch(normalize(crop, self.preprocess)[None])]

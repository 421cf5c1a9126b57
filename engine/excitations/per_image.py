"""SE excitations of one image: the gate weight of each channel in each SE block.

Hu et al., "Squeeze-and-Excitation Networks" (2018), figure 5, plots these activations by block.
They are read from a copy of the fp32 graph in which the gates are additional outputs.
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
    """One SE block: its position in the network (from 1), its stage, its number of channels.

    A stage is a sequence of blocks with the same number of channels.
    """

    place: int
    stage: int
    channels: int

    @property
    def name(self) -> str:
        """`stage 2, block 4 (256 channels)`."""
        return f"stage {self.stage}, block {self.place} ({self.channels} channels)"


def gate_tensors(model: ModelProto) -> list[tuple[str, int]]:
    """(tensor, channels) of each SE gate, in graph order; gates are defined in onnx.se_blocks."""
    from engine.onnx.macs.skeleton import build_skeleton

    skeleton = build_skeleton(model, batch=1)
    found: dict[str, int] = {}
    for gate in find_gates(skeleton.nodes, skeleton.shapes, skeleton.constants):
        found.setdefault(gate.tensor, gate.channels)
    return list(found.items())


def add_gate_outputs(model: ModelProto) -> tuple[ModelProto, list[tuple[str, int]]]:
    """A copy with the gates as additional outputs, and the gates as from `gate_tensors`.

    Raises InvalidRequest for a network without SE blocks.
    """
    from onnx import ModelProto, TensorProto, helper

    gates = gate_tensors(model)
    if not gates:
        raise InvalidRequest("This network has no SE block: choose a model with SE blocks.")
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name, _ in gates
    )
    return copy, gates


def number_blocks(gates: list[tuple[str, int]]) -> list[Block]:
    """The blocks in graph order, with their stage numbers."""
    blocks: list[Block] = []
    for place, (_, channels) in enumerate(gates, 1):
        same = bool(blocks) and blocks[-1].channels == channels
        stage = blocks[-1].stage + (not same) if blocks else 1
        blocks.append(Block(place, stage, channels))
    return blocks


class Excitations:
    """The SE gates of one fp32 artifact, loaded once; safe to use from several threads."""

    def __init__(self, artifact: Artifact) -> None:
        """Raises InvalidRequest for a network without SE blocks, ArtifactMissing without files."""
        import onnx

        from engine.runtimes.observing import small_session_of

        self.artifact = artifact
        self.preprocess = artifacts.preprocess_of(artifact)
        model, gates = add_gate_outputs(onnx.load(artifacts.model_path(artifact.digest)))
        self.blocks = number_blocks(gates)
        self._names = [name for name, _ in gates]
        self._session = small_session_of(model, settings().threads)
        self._input = model.graph.input[0].name

    def batch_weights(self, batch: np.ndarray) -> list[np.ndarray]:
        """Weights (n, channels) of each block, for preprocessed images (n, 3, side, side)."""
        outputs = self._session.run(self._names, {self._input: batch})
        return [values.reshape(len(batch), -1) for values in outputs]

    def image_weights(self, source: Path | bytes, name: str | None = None) -> list[np.ndarray]:
        """Weights (channels,) of each block. Raises ImageRejected."""
        crop = crop_pixels(open_image(source, name), self.preprocess)
        return [values[0] for values in self.batch_weights(normalize(crop, self.preprocess)[None])]

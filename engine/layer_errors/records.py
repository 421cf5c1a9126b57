"""The errors of the layers of a build, as stored: one JSON file for each build."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from engine.common.document import Document
from engine.common.files import write_text
from engine.common.untrusted import read_json
from engine.config import settings
from engine.errors import ArtifactMissing
from engine.store.shared import fetch, publish_result

HARD_SWISH_GATE = "HardSwish gate"
"""The operator of a tensor that the gate of a HardSwish computes."""


class RuntimeErrors(Document):
    """One tensor in one runtime; SQNR against fp32 in dB (None: fp32 has no such tensor).

    `single_db`: the part of the graph before it, from exact inputs; `accumulated_db`: the whole
    network, which is read in the middle but for the scores, which are those of the model as it is.
    `differing`: share (0 to 1) of values that are more than one level from what the file
    says, from the same inputs; `levels`: the largest such distance; `mean_levels`: the mean.
    """

    single_db: float | None = None
    accumulated_db: float | None = None
    differing: float = 0.0
    levels: float = 0.0
    mean_levels: float = 0.0


class TensorErrors(Document):
    """One tensor of an int8 model, in graph order: what fp32, the file and each runtime give.

    `layers`: names of the layers that compute it, by their weights; `op`: its last operator;
    `se_role`: its part of an SE block, else empty. `rounding_db`: SQNR of storing the fp32 values
    with the scale of the file. `single_db` and `accumulated_db` are of the emulated file, as in
    RuntimeErrors. `clipped`: share of fp32 values outside the range; `used`: share of the 255
    levels between the smallest and the largest stored value. `saturates`: a hard gate reads it, so
    a low SQNR of storing it and clipped values are no loss. `scale` is the scale with which it is
    read, `written_scale` the one with which it is written, where that is another one; the same for
    the zero points. `range_loss_db`: noise of storing above that of the best range for these
    images. `deviation_levels` and `deviation`: root mean square distance of what the file computes,
    from exact inputs, to fp32 as stored: in levels, and as a share of the standard deviation.
    """

    tensor: str
    layers: list[str] = Field(default_factory=list)
    op: str = ""
    precision: str = "int8"
    se_role: str = ""
    rounding_db: float | None = None
    single_db: float | None = None
    accumulated_db: float | None = None
    clipped: float | None = None
    used: float | None = None
    saturates: bool = False
    scale: float | None = None
    written_scale: float | None = None
    zero_point: int | None = None
    written_zero_point: int | None = None
    range_loss_db: float | None = None
    deviation_levels: float | None = None
    deviation: float | None = None
    runtimes: dict[str, RuntimeErrors] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The layers, or the tensor where no layer computes it."""
        return ", ".join(self.layers) or self.tensor


class LayerErrors(Document):
    """The errors of all tensors of a build on `images` images of a dataset.

    `runtimes`: name -> version; `missing`: runtime -> why it could not compute. `has_reference`:
    whether fp32 is known; else the file is compared with the runtimes only.
    """

    artifact: str
    model_id: str
    dataset: str
    images: int
    has_reference: bool = True
    runtimes: dict[str, str] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    tensors: list[TensorErrors] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list)


def path_of(digest: str) -> Path:
    """Where the errors of an artifact are stored."""
    return settings().home / "results" / "layers" / f"{digest}.json"


def load_layer_errors(digest: str) -> LayerErrors | None:
    """The stored errors of an artifact; None before they were measured.

    Raises ArtifactMissing where the file is damaged.
    """
    path = path_of(digest)
    if not fetch(path):
        return None
    description = f"The layer errors of artifact {digest[:12]}"
    return LayerErrors.read(read_json(path, ArtifactMissing), description, ArtifactMissing)


def store_layer_errors(errors: LayerErrors) -> None:
    """Replaces the stored errors of the artifact."""
    path = path_of(errors.artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(errors.dump(), indent=1))
    publish_result(path)

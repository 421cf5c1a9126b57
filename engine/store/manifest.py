"""The manifests of exports and builds: what made an artifact, and what was found of it.

A manifest lies as `manifest.json` in the artifact's folder and in its row. The folder's digest is
taken over the file too: the keys stay as they are, and a key that says nothing is left out.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from db.models import Artifact
from engine.common.document import Document
from engine.errors import ArtifactMissing
from engine.store.int8_report import Int8Build

PROBABILITIES = "probabilities"
NATIVE, EMULATED = "native", "emulated"


class WeightsFacts(Document):
    """Which weights an artifact was made from; `origin` in words."""

    digest: str | None = None
    kind: str | None = None
    origin: str | None = None


class Compute(Document):
    """Multiply-accumulates of one image (1e9) and parameters (1e6); `unknown` says why not."""

    gmacs: float | None = None
    params_m: float | None = None
    unknown: str | None = None


class Prequantized(Document):
    """Of a file that came quantized: `layers` in integers of all `of`; `overflows` without VNNI."""

    layers: int = 0
    of: int = 0
    overflows: bool = False


class KeptNode(Document):
    """A node that an fp16 build keeps in float; `output` is the first tensor that it makes."""

    node: str = ""
    op: str = ""
    output: str = ""
    reason: str = ""


class RangeCheck(Document):
    """The images on which value ranges were checked for fp16; `dataset` None: synthetic ones."""

    dataset: str | None = None
    dataset_digest: str | None = None
    images: int = 0
    limit: float | None = None
    largest_half: float | None = None
    note: str | None = None


class LargestValue(Document):
    """The largest magnitude seen, and the tensor that took it."""

    tensor: str = ""
    value: float = 0.0


class Fp16Agreement(Document):
    """fp16, with every stored value rounded, against fp32 on some images; SQNR of scores in dB."""

    images: int = 0
    same_class: int = 0
    signal_db: float = 0.0


class Fp16Build(Document):
    """What an fp16 build found: nodes kept in float, and how it agrees with fp32."""

    kept_in_float: list[KeptNode] = Field(default_factory=list)
    checked: RangeCheck = RangeCheck()
    largest: LargestValue = LargestValue()
    agreement: Fp16Agreement = Fp16Agreement()


class CalibrationFacts(Document):
    """The images an int8 build was calibrated on, and how ranges were estimated from them.

    `images` were drawn of `images_asked`; `max_drop` in points of top-1, None for no constraint.
    """

    dataset: str = ""
    dataset_digest: str | None = None
    images: int = 0
    images_asked: int | None = None
    images_searched: int | None = None
    classes: int | None = None
    seed: int = 0
    mode: str = "max"
    percentile: float | None = None
    keep_in_float: list[int] = Field(default_factory=list)
    max_drop: float | None = None

    @property
    def summary(self) -> str:
        """`mse over 300 images of imagenet-val`."""
        return f"{self.mode} over {self.images:,} images of {self.dataset}"


class BuildDetails(Document):
    """What one precision's builder did. `execution` is native or emulated on the CPU that built it.

    `quantization` and `calibration` are of int8 builds, `half` of fp16 builds; `appended` is
    "softmax" where one was appended.
    """

    execution: str | None = None
    execution_why: str | None = None
    optimized: str | None = Field(None, alias="optimised")
    appended: str | None = None
    half: Fp16Build | None = None
    quantization: Int8Build | None = Field(None, alias="quantisation")
    calibration: CalibrationFacts | None = None

    @property
    def execution_kind(self) -> str:
        """NATIVE or EMULATED; builds of the first versions have a sentence that begins with it."""
        return EMULATED if (self.execution or NATIVE).startswith(EMULATED) else NATIVE


class ExportManifest(Document):
    """What an export says of itself, and a build takes over from it.

    `background` is the output that is no class; `fixed_batch` the only batch that the model takes;
    `notes` what was assumed and changed when a file of elsewhere was taken in, in sentences;
    `weights_key` which of several sets of weights in the file; `scores` logits or probabilities.
    """

    kind: str | None = None
    model_id: str | None = None
    weights: WeightsFacts = WeightsFacts()
    format: str = "onnx"
    precision: str | None = None
    parent: str | None = None
    recipe: str | None = None
    preprocess: dict[str, Any] = Field(default_factory=dict)
    classes: int = 0
    background: int | None = None
    via: str | None = None
    opset: int | None = None
    compute: Compute = Compute()
    agreement: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, Any] = Field(default_factory=dict)
    scores: str | None = None
    quantized: Prequantized | None = Field(None, alias="quantised")
    fixed_batch: int | None = Field(None, alias="batch")
    notes: list[str] = Field(default_factory=list)
    weights_key: str | None = None
    not_quantizable: str | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """The manifest of an artifact; ArtifactMissing in a sentence where it is damaged."""
        return cls.of_stored(artifact.manifest, artifact.digest)

    @classmethod
    def of_stored(cls, manifest: dict[str, Any], digest: str) -> Self:
        """As `of`, from the columns of its row."""
        what = f"The manifest of artifact {str(digest)[:12]}"
        return cls.read(manifest, what, ArtifactMissing)

    @property
    def gives_probabilities(self) -> bool:
        """Whether the model's scores are probabilities already."""
        return self.scores == PROBABILITIES

    @property
    def class_outputs(self) -> int:
        """Outputs that are classes: all but a background class."""
        return self.classes - (self.background is not None)

    def inherited(self) -> dict[str, Any]:
        """What a build takes over from its export, by stored key."""
        return self.model_dump(by_alias=True, exclude_unset=True, include=_INHERITED)


_INHERITED = {
    *("preprocess", "classes", "background", "compute", "scores", "quantized"),
    *("fixed_batch", "notes", "weights_key"),
}


class BuildManifest(ExportManifest):
    """What a build says of itself; of an export, `build` is empty."""

    build: BuildDetails = BuildDetails()

"""The manifests of exports and builds: how an artifact was made, and its properties.

A manifest is stored as `manifest.json` in the folder of the artifact and in its row. The digest of
the folder includes this file, so the keys must not change, and unset keys are left out.
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
    """The weights of an artifact; `origin` is a sentence."""

    digest: str | None = None
    kind: str | None = None
    origin: str | None = None


class Compute(Document):
    """GMACs per image and millions of parameters; `unknown`: why the GMACs are not known."""

    gmacs: float | None = None
    params_m: float | None = None
    unknown: str | None = None


class Prequantized(Document):
    """An imported file that is quantized already: `layers` of all `of` layers are in integers.

    `overflows`: its kernels overflow on processors without VNNI.
    """

    layers: int = 0
    of: int = 0
    overflows: bool = False


class FloatNode(Document):
    """A node that an fp16 build keeps in fp32; `output` is its first output tensor."""

    node: str = ""
    op: str = ""
    output: str = ""
    reason: str = ""


class RangeCheck(Document):
    """The images of the fp16 overflow check; `dataset` None: synthetic images.

    `largest_half`: the largest fp16 value; `limit`: the accepted magnitude.
    """

    dataset: str | None = None
    dataset_digest: str | None = None
    images: int = 0
    limit: float | None = None
    largest_half: float | None = None
    note: str | None = None


class LargestValue(Document):
    """The largest magnitude in the overflow check, and its tensor."""

    tensor: str = ""
    value: float = 0.0


class Fp16Agreement(Document):
    """Agreement of fp16 with fp32: images with the same top-1 class, SQNR of the scores in dB."""

    images: int = 0
    same_class: int = 0
    signal_db: float = 0.0


class Fp16Build(Document):
    """Results of an fp16 build: nodes kept in fp32, overflow check, agreement with fp32."""

    kept_in_float: list[FloatNode] = Field(default_factory=list)
    checked: RangeCheck = RangeCheck()
    largest: LargestValue = LargestValue()
    agreement: Fp16Agreement = Fp16Agreement()


class CalibrationFacts(Document):
    """Calibration of an int8 build: its images, and the calibration method (`mode`).

    `images_asked`: requested number of images; `images_searched`: images of the accuracy search;
    `max_drop`: max accuracy drop in pp of top-1, None without an accuracy constraint.
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
    bias_correction: str = "fast"

    @property
    def summary(self) -> str:
        """`mse over 300 images of imagenet-val`."""
        return f"{self.mode} over {self.images:,} images of {self.dataset}"


class BuildDetails(Document):
    """What the builder of a precision did. `execution`: native or emulated, on the building CPU.

    `quantization` and `calibration` are set for int8 builds, `half` for fp16 builds; `appended`:
    "softmax" where a softmax was appended.
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
        """NATIVE or EMULATED; builds of the first versions have a sentence that starts with it."""
        return EMULATED if (self.execution or NATIVE).startswith(EMULATED) else NATIVE


class ExportManifest(Document):
    """The manifest of an export; a build inherits part of it.

    `background`: index of the background output; `fixed_batch`: the only batch size that the model
    takes; `notes`: what was assumed and changed in an import, in sentences; `weights_key`: the set
    of weights, of several in a file; `scores`: logits or probabilities.
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
    def from_artifact(cls, artifact: Artifact) -> Self:
        """The manifest of an artifact. Raises ArtifactMissing where it is damaged."""
        return cls.from_stored(artifact.manifest, artifact.digest)

    @classmethod
    def from_stored(cls, manifest: dict[str, Any], digest: str) -> Self:
        """As `from_artifact`, from the columns of its row."""
        what = f"The manifest of artifact {str(digest)[:12]}"
        return cls.read(manifest, what, ArtifactMissing)

    @property
    def gives_probabilities(self) -> bool:
        """Whether the scores of the model are probabilities."""
        return self.scores == PROBABILITIES

    @property
    def class_outputs(self) -> int:
        """Number of outputs without the background output."""
        return self.classes - (self.background is not None)

    def without_identity(self) -> Self:
        """A copy without what the store itself writes: recipe, precision, weights and the like."""
        kept = self.model_dump(by_alias=True, exclude_unset=True, exclude=_IDENTITY)
        return type(self).model_validate(kept)

    def inherited(self) -> dict[str, Any]:
        """What a build inherits from its export, by stored key."""
        return self.model_dump(by_alias=True, exclude_unset=True, include=_INHERITED)


_IDENTITY = {"kind", "model_id", "weights", "format", "precision", "parent", "recipe"}
_INHERITED = {
    *("preprocess", "classes", "background", "compute", "scores", "quantized"),
    *("fixed_batch", "notes", "weights_key"),
}


class BuildManifest(ExportManifest):
    """The manifest of a build; `build` is empty for an export."""

    build: BuildDetails = BuildDetails()

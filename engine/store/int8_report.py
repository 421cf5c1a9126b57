"""The int8 part of a manifest, and the report on each layer in `report.json`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.common.document import Document


class TargetFacts(Document):
    """The int8 target of a build; `why`: how it was chosen."""

    name: str | None = None
    summary: str = ""
    why: str = ""


class SearchStep(Document):
    """One candidate of an accuracy search: share of MACs in float, accuracy drop in pp.

    `drop_at_most`, `expected_at_most`: upper limits at 95 % confidence.
    """

    float_share: float = 0.0
    drop: float = 0.0
    drop_at_most: float = 0.0
    expected_drop: float | None = None
    expected_at_most: float | None = None


class ConstraintFacts(SearchStep):
    """Result of the accuracy constraint: `held` says whether it is met, on `images` images.

    `max_drop` in pp. Builds of the first versions have no expected drop.
    """

    max_drop: float = 0.0
    measure: str = "top-1"
    held: bool = False
    images: int = 0
    steps: list[SearchStep] = Field(default_factory=list)
    seconds: float | None = None
    steps_of_earlier_attempts: int = 0

    def sentence(self) -> str:
        """`max 1 pp of top-1, met: drop 0.0 pp, at most 1.0 pp on 700 images; ...`."""
        text = (
            f"max {self.max_drop:g} pp of {self.measure}, "
            f"{'met' if self.held else 'not shown to be met'}: drop {self.drop:.1f} pp, at most "
            f"{self.drop_at_most:.1f} pp on {self.images:,} images"
        )
        if self.expected_drop is None or self.expected_at_most is None:
            return text
        return (
            f"{text}; expected from score margins: {self.expected_drop:.1f} pp, at most "
            f"{self.expected_at_most:.1f} pp"
        )


class Int8Build(Document):
    """How an int8 model was built.

    `kept_in_float`: reason by output of each layer that is excluded from quantization; `constant`:
    tensors that have the same value on all calibration images; `noise_db_all_int8`: full-int8
    logits SQNR in dB; `float_share`, `macs_in_int8`: shares of the MACs.
    """

    format: str = "QDQ"
    target: TargetFacts | None = None
    activations: str | None = None
    weights: str | None = None
    squeezes_rewritten: int = 0
    gates_rewritten: int = 0
    equalization: dict[str, Any] = Field(default_factory=dict, alias="equalization")
    kept_in_float: dict[str, str] = Field(default_factory=dict)
    constant: list[str] = Field(default_factory=list)
    noise_db_all_int8: float | None = None
    float_share: float | None = None
    bound: ConstraintFacts | None = None
    macs_in_int8: float | None = None


class LayerReport(Document):
    """One Conv or Gemm layer; `layer`: name of its weights in the export, `tensor`: its output.

    SQNR in dB: of the weights, and of the stored output (None where it is not quantized).
    `effect_db`: SQNR of the scores when only this layer is quantized (None: not measured).
    `saturated`: share of output values outside the range. `precision`: int8 or float.
    """

    layer: str
    tensor: str
    op: str
    precision: str
    reason: str | None
    macs_share: float
    weights_sqnr_db: float | None
    output: str | None
    output_sqnr_db: float | None
    low: float | None
    high: float | None
    saturated: float | None
    effect_db: float | None


class Top1Flips(Document):
    """Number of calibration images with another top-1 class than in fp32."""

    images: int = 0
    changed: int = 0


class Int8Report(Document):
    """Every layer of an int8 build in graph order, and the share of MACs in int8."""

    macs_in_int8: float = 0.0
    layers: list[LayerReport] = Field(default_factory=list)
    changed_classes: Top1Flips = Top1Flips()

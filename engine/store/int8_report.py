"""What an int8 build says of itself in its manifest, and of each of its layers in `report.json`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.common.document import Document


class TargetFacts(Document):
    """The kernels an int8 build was made for; `why` says how that was decided."""

    name: str | None = None
    summary: str = ""
    why: str = ""


class SearchStep(Document):
    """One candidate of a search: its share of work in float, and its drop in points."""

    float_share: float = 0.0
    drop: float = 0.0
    drop_at_most: float = 0.0
    expected_drop: float | None = None
    expected_at_most: float | None = None


class BoundFacts(SearchStep):
    """Whether the accuracy constraint is met: `held` on `images`, with limits of 95 %.

    Builds of before margins were looked at have no expected drop.
    """

    max_drop: float = 0.0
    measure: str = "top-1"
    held: bool = False
    images: int = 0
    steps: list[SearchStep] = Field(default_factory=list)
    seconds: float | None = None
    steps_of_earlier_attempts: int = 0

    def sentence(self) -> str:
        """`1 points of top-1, held: 0.0, at most 1.0 on 700 images; ...`."""
        told = (
            f"{self.max_drop:g} points of {self.measure}, "
            f"{'held' if self.held else 'not shown to hold'}: {self.drop:.1f}, at most "
            f"{self.drop_at_most:.1f} on {self.images:,} images"
        )
        if self.expected_drop is None or self.expected_at_most is None:
            return told
        return (
            f"{told}; expected by the margins of its scores: {self.expected_drop:.1f}, at most "
            f"{self.expected_at_most:.1f}"
        )


class Int8Build(Document):
    """How an int8 model came to be. `kept_in_float` gives the reason by output; SQNR in dB.

    `constant` names tensors that nothing changes over all calibration images; `float_share` and
    `macs_in_int8` are shares of the work.
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
    bound: BoundFacts | None = None
    macs_in_int8: float | None = None


class LayerReport(Document):
    """One convolution or Gemm: `layer` by its weights' name in the export, `tensor` by its output.

    SQNR in dB: of the weights, and of the stored output (None where it is not rounded). `effect_db`
    is the signal left in the model's scores when this layer alone is rounded (None: not measured).
    `saturated` is the share of outputs beyond the range. `precision` is int8 or float.
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


class ChangedClasses(Document):
    """How many calibration images get another class than in fp32."""

    images: int = 0
    changed: int = 0


class Int8Report(Document):
    """Every layer of an int8 build in graph order, and the share of work in int8."""

    macs_in_int8: float = 0.0
    layers: list[LayerReport] = Field(default_factory=list)
    changed_classes: ChangedClasses = ChangedClasses()

"""Facts of an int8 build in its manifest, and of each of its layers in `report.json`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.common.document import Document


class TargetFacts(Document):
    """The int8 target of a build; `why` is the reason it was chosen."""

    name: str | None = None
    summary: str = ""
    why: str = ""


class SearchStep(Document):
    """One candidate of a search: its share of MACs in float, and its accuracy drop in pp.

    `relative_speed` is its speed in multiples of that of fp32, at first look (None: not measured).
    """

    float_share: float = 0.0
    drop: float = 0.0
    drop_at_most: float = 0.0
    expected_drop: float | None = None
    expected_at_most: float | None = None
    relative_speed: float | None = None


class BoundFacts(SearchStep):
    """Whether the accuracy constraint is met (`held`) on `images`; limits are of 95 %.

    Builds made before drops were estimated from score margins have no expected drop.
    """

    max_drop: float = 0.0
    measure: str = "top-1"
    held: bool = False
    images: int = 0
    steps: list[SearchStep] = Field(default_factory=list)
    seconds: float | None = None
    steps_of_earlier_attempts: int = 0

    def sentence(self) -> str:
        """`max drop of top-1 1 pp, met: drop 0.0 pp, at most 1.0 on 700 images; ...`."""
        text = (
            f"max drop of {self.measure} {self.max_drop:g} pp, "
            f"{'met' if self.held else 'not proven'}: drop {self.drop:.1f} pp, at most "
            f"{self.drop_at_most:.1f} on {self.images:,} images"
        )
        if self.expected_drop is not None and self.expected_at_most is not None:
            text += (
                f"; estimated from score margins: {self.expected_drop:.1f}, at most "
                f"{self.expected_at_most:.1f}"
            )
        if self.relative_speed is not None:
            text += f"; about {self.relative_speed:.2f} times as fast as fp32 at first look"
        return text


class GroupedShape(Document):
    """Grouped convolutions of one shape: their output tensors, and how many groups are one.

    `ms_by_factor`: CPU time of an image on one thread; empty where it was not measured.
    """

    shape: str = ""
    layers: list[str] = Field(default_factory=list)
    factor: int = 1
    ms_by_factor: dict[str, float] = Field(default_factory=dict)


class MergedGroups(Document):
    """The grouped convolutions of a build, merged or not; `source`: how the factors were chosen.

    `added_bytes`: zeros in the file that the model does not have.
    """

    shapes: list[GroupedShape] = Field(default_factory=list)
    source: str = ""
    added_bytes: int = 0

    def sentence(self) -> str:
        """`16 of 16 grouped convolutions have 2 to 8 groups merged (+1.3 MB); measured on ...`."""
        merged = [one for one in self.shapes if one.factor > 1]
        layers = sum(len(one.layers) for one in self.shapes)
        if not merged:
            return f"None of {layers} grouped convolutions is merged; {self.source}."
        factors = sorted({one.factor for one in merged})
        many = f"{factors[0]} to {factors[-1]}" if len(factors) > 1 else f"{factors[0]}"
        return (
            f"{sum(len(one.layers) for one in merged)} of {layers} grouped convolutions have "
            f"{many} groups merged into one (+{self.added_bytes / 1e6:.1f} MB of zeros, equal "
            f"scores); {self.source}."
        )


class Int8Build(Document):
    """How an int8 model was built. `kept_in_float`: output -> reason; `noise_db_all_int8`: SQNR.

    `constant` names layers with a constant output on all calibration images; `float_share` and
    `macs_in_int8` are shares (0 to 1) of the MACs. `merged_groups`: None without grouped
    convolutions.
    """

    format: str = "QDQ"
    target: TargetFacts | None = None
    activations: str | None = None
    weights: str | None = None
    squeezes_rewritten: int = 0
    gates_rewritten: int = 0
    equalization: dict[str, Any] = Field(default_factory=dict, alias="equalisation")
    kept_in_float: dict[str, str] = Field(default_factory=dict)
    constant: list[str] = Field(default_factory=list)
    noise_db_all_int8: float | None = None
    float_share: float | None = None
    bound: BoundFacts | None = None
    macs_in_int8: float | None = None
    merged_groups: MergedGroups | None = None


class LayerReport(Document):
    """One convolution or Gemm: `layer` names its weights in the export, `tensor` its output.

    SQNR in dB of the weights, and of the quantized output (None where it is in float). `effect_db`
    is the SQNR of the logits when only what excluding this layer would keep in float is quantized
    (None: not measured). `saturated` is the share of output values outside the range `low` to
    `high`. `precision` is int8 or float. `int8_ms` and `float_ms` are its time alone at batch 1,
    where a search measured it.
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
    int8_ms: float | None = None
    float_ms: float | None = None


class ChangedClasses(Document):
    """Top-1 agreement with fp32: `changed` of `images` calibration images get another class."""

    images: int = 0
    changed: int = 0


class StageSeconds(Document):
    """Time of one stage of a build: elapsed seconds, and processor seconds of all threads."""

    stage: str
    seconds: float
    processor_seconds: float


class Int8Report(Document):
    """All layers of an int8 build in graph order, and the share of MACs in int8.

    `stages` is the time of the build by stage; builds made before it was measured have none.
    """

    macs_in_int8: float = 0.0
    layers: list[LayerReport] = Field(default_factory=list)
    changed_classes: ChangedClasses = ChangedClasses()
    stages: list[StageSeconds] = Field(default_factory=list)

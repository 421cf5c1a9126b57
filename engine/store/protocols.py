"""How benchmarks and evaluations were measured: the `protocol` of their rows.

Rows of earlier versions lack keys, rows of imported results most of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from sqlalchemy import Row

from db.models import Benchmark, Evaluation
from engine.common.document import Document
from engine.errors import InvalidRequest


class RateTrial(Document):
    """One run of a search for the highest rate (requests/s)."""

    rate_per_s: float = 0.0
    valid: bool = False
    reason: str = ""


class ScenarioFacts(Document):
    """What a scenario of MLPerf found; `valid` None where the scenario has no verdict.

    Rates in requests/s; `asked_rate_per_s` None: the highest one was searched. `samples_a_pass` is
    of offline, the p90 of single stream, the rest of server.
    """

    name: str = ""
    asked_rate_per_s: float | None = None
    rate_per_s: float | None = None
    limit_ms: float | None = None
    seed: int | None = None
    valid: bool | None = None
    reason: str | None = None
    over: int | None = None
    tried: list[RateTrial] = Field(default_factory=list)
    p90_ms: float | None = None
    p90_estimate_ms: float | None = None
    samples_a_pass: list[int] = Field(default_factory=list)


class Interference(Document):
    """What the machine did while the windows were taken: other load in cores, the clock in MHz.

    `mhz` is (low, median, high), None where the system does not tell; `load_1min` before and after;
    `others` are the busiest processes with their cores.
    """

    samples: int = 0
    every_s: float | None = None
    other_busy_cores: float = 0.0
    most_other_busy_cores: float = 0.0
    stolen_cores: float = 0.0
    mhz: tuple[float | None, float | None, float | None] | None = None
    load_1min: tuple[float, float] | None = None
    others: list[tuple[str, float]] = Field(default_factory=list)
    watching_cores: float = 0.0


class BenchmarkProtocol(Document):
    """How a speed was measured. `scenario` None: closed loop; `nodes` counts them by provider.

    `setting` is the key of same conditions; `noise` says why the result is disturbed, a clause
    each, None in rows of before that was judged.
    """

    warm_up_s: float | None = None
    windows: int | None = None
    reported_windows: int = 1
    window_images_per_s: list[float] = Field(default_factory=list)
    window_s: float | None = None
    tolerance: float | None = None
    max_s: float | None = None
    processes: int = 1
    input: str | None = None
    scenario: ScenarioFacts | None = None
    setting: str | None = None
    nodes: dict[str, int] | None = None
    load_1min_before: float | None = None
    during: Interference | None = None
    noise: list[str] | None = None
    imported: str | None = None

    @classmethod
    def of(cls, row: Benchmark | Row[Any]) -> BenchmarkProtocol:
        """The protocol of a benchmark; InvalidRequest in a sentence where it is damaged."""
        return cls.read(row.protocol, f"The protocol of benchmark {row.id}", InvalidRequest)

    @property
    def noise_text(self) -> str | None:
        """The reasons in one clause; None where nothing disturbed it."""
        return "; ".join(self.noise or []) or None


class RestFacts(Document):
    """The images of an evaluation that its build had not seen, with the counts of right answers."""

    images: int = 0
    top1: int | None = None
    top5: int | None = None


class SeenFacts(Document):
    """How many images `of` an evaluation its build was `calibrated` or `searched` on.

    `images` counts either; `rest` is how it does on all others.
    """

    calibrated: int = 0
    searched: int = 0
    images: int = 0
    of: int = 0
    rest: RestFacts | None = None

    def sentence(self) -> str:
        """`312 of 1,000 images were also calibrated on; top-1 on the other 688: 85.76 %`."""
        if not self.images:
            return "none of the images was calibrated or searched on"
        counts = {"calibrated": self.calibrated, "searched": self.searched}
        kinds = " or ".join(kind for kind, count in counts.items() if count)
        text = f"{self.images:,} of {self.of:,} images were also {kinds} on"
        rest = self.rest
        if rest is not None and rest.images and rest.top1 is not None:
            text += f"; top-1 on the other {rest.images:,}: {100 * rest.top1 / rest.images:.2f} %"
        return text


class EvaluationProtocol(Document):
    """How an accuracy was measured. `classes` is how many a label is one of.

    `class_matching` says what was assumed of outputs and classes; `overlap` which images the build
    had seen, None where nobody knows. The last are of imports and of other label sets.
    """

    batch: int | None = None
    provider: str | None = None
    threads: int | None = None
    preprocessing: str | None = None
    scoring: str | None = None
    runtime: str | None = None
    classes: int | None = None
    class_matching: str | None = None
    overlap: SeenFacts | None = Field(None, alias="seen_before")
    imported_from: str | None = None
    sha256: str | None = None
    best_classes_known: int | None = None
    labels: str | None = None
    relabelled_from: int | None = None
    label_set: str | None = None
    label_set_sha256: str | None = None
    without_a_right_answer: int = 0

    @classmethod
    def of(cls, row: Evaluation) -> EvaluationProtocol:
        """The protocol of an evaluation; InvalidRequest in a sentence where it is damaged."""
        return cls.read(row.protocol, f"The protocol of evaluation {row.id}", InvalidRequest)

    def without_rest(self) -> EvaluationProtocol:
        """Where other labels apply than those that the rest was counted by."""
        if self.overlap is None:
            return self
        plain = {name: value for name, value in self.overlap.dump().items() if name != "rest"}
        return self.model_copy(update={"overlap": SeenFacts.model_validate(plain)})

    @property
    def overlap_text(self) -> str | None:
        """The overlap with what the build had seen, in words; None where nothing is known."""
        return self.overlap.sentence() if self.overlap is not None else None

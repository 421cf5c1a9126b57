"""How benchmarks and evaluations were measured: the `protocol` column of their rows.

Rows of earlier versions lack some keys, rows of imported results most of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from sqlalchemy import Row

from db.models import Benchmark, Evaluation
from engine.common.document import Document
from engine.errors import InvalidRequest


class RateTrial(Document):
    """One run of the search for the highest valid rate (requests/s)."""

    rate_per_s: float = 0.0
    valid: bool = False
    reason: str = ""


class ScenarioFacts(Document):
    """Result of an MLPerf scenario; `valid` is None where the scenario has no verdict.

    Rates in requests/s; `asked_rate_per_s` is the requested rate, None: the highest was searched.
    `over`: number of requests over the limit; `tried`: all runs of the search. `samples_a_pass` is
    set for offline, the p90 fields for single stream, `dataset` and what follows for end to end:
    the number of files, and the mean time of each stage of a request, in ms. The other ones are
    set for server.
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
    dataset: str | None = None
    dataset_digest: str | None = None
    files: int | None = None
    stages_ms: dict[str, float] = Field(default_factory=dict)


class Interference(Document):
    """Interference during the measured windows: other load in cores, CPU clock in MHz.

    `mhz`: (lowest, median, highest), None where the system does not report it. `load_1min`: load
    average before and after. `others`: the busiest processes with their mean cores.
    `watching_cores`: cores that the monitor itself used.
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


class MachineState(Document):
    """How a figure behaved over the rounds; `kind` is one of MachineStateKind.

    Two speeds: the mean of the lower and of the upper part, and the share of rounds in the upper.
    Drift: the mean of the first and of the last third. Steady: the lowest and the highest round.
    """

    kind: str = "steady"
    low: float = 0.0
    high: float = 0.0
    upper_share: float | None = None


class Round(Document):
    """One window of a build in a session. `number` counts the rounds of the session from 0.

    `launch`: which start of the processes measured it; `position`: the place of the build within
    the round; `images_per_s`: of this window; `machine_gflops`: the reading of the speedometer
    before it, None where there was none.
    """

    number: int = 0
    launch: int = 0
    position: int = 0
    images_per_s: float = 0.0
    machine_gflops: float | None = None


class SpeedUp(Document):
    """Throughput over that of fp32 of the same model in the same session, paired by round.

    `ratio` with its 95 % interval; `reference`: digest of the fp32 build.
    """

    ratio: float = 1.0
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    rounds: int = 0
    reference: str | None = None


class BenchmarkProtocol(Document):
    """How a speed was measured. `scenario` None: closed loop; `nodes`: node count by provider.

    `runtime_settings`: as the runtime reports them, None where it reports none. `session`: key of
    the measuring session; benchmarks with the same one were measured round by round together.
    `rounds`: one window each, those of the figures. `intervals`: (low, high) of latency columns
    between rounds; `machine`: how the rounds' throughput behaved, `speedometer`: how the machine's
    own speed did, in GFLOP/s. `waiting_cores`: cores that a build used while it waited for its
    turn. `speed_up`: against fp32 of the same session.
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
    runtime_settings: dict[str, str] | None = None
    load_1min_before: float | None = None
    during: Interference | None = None
    noise: list[str] | None = None
    imported: str | None = None
    session: str | None = None
    rounds: list[Round] = Field(default_factory=list)
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    machine: MachineState | None = None
    speedometer: MachineState | None = None
    waiting_cores: float | None = None
    speed_up: SpeedUp | None = None

    @classmethod
    def from_row(cls, row: Benchmark | Row[Any]) -> BenchmarkProtocol:
        """The protocol of a benchmark. Raises InvalidRequest where it is damaged."""
        return cls.read(row.protocol, f"The protocol of benchmark {row.id}", InvalidRequest)

    @property
    def interference_text(self) -> str | None:
        """The reasons of `noise` in one clause; None without interference."""
        return "; ".join(self.noise or []) or None


class RemainingFacts(Document):
    """The evaluated images outside the overlap, with their top-1 and top-5 correct counts."""

    images: int = 0
    top1: int | None = None
    top5: int | None = None


class OverlapFacts(Document):
    """Overlap of an evaluation with the images that its int8 build used.

    `calibrated`, `searched`: images used for calibration and for the accuracy search; `images`:
    used for either; `of`: all evaluated images; `rest`: counts on the remaining images.
    """

    calibrated: int = 0
    searched: int = 0
    images: int = 0
    of: int = 0
    rest: RemainingFacts | None = None

    def sentence(self) -> str:
        """`312 of 1,000 images were used for calibration; top-1 on the other 688: 85.76 %`."""
        if not self.images:
            return "no overlap with the calibration set"
        counts = {"calibration": self.calibrated, "the accuracy search": self.searched}
        uses = " or ".join(use for use, count in counts.items() if count)
        text = f"{self.images:,} of {self.of:,} images were used for {uses}"
        rest = self.rest
        if rest is not None and rest.images and rest.top1 is not None:
            text += f"; top-1 on the other {rest.images:,}: {100 * rest.top1 / rest.images:.2f} %"
        return text


class EvaluationProtocol(Document):
    """How an accuracy was measured. `classes`: number of classes; `nodes`: layers by device and
    arithmetic, None where not reported.

    `class_matching`: what was assumed to map outputs to classes. `overlap`: overlap with the
    calibration set, None where unknown. The fields from `imported_from` on are set for imported
    results and for other label sets.
    """

    batch: int | None = None
    provider: str | None = None
    threads: int | None = None
    preprocessing: str | None = None
    scoring: str | None = None
    runtime: str | None = None
    nodes: dict[str, int] | None = None
    classes: int | None = None
    class_matching: str | None = None
    overlap: OverlapFacts | None = Field(None, alias="seen_before")
    imported_from: str | None = None
    sha256: str | None = None
    best_classes_known: int | None = None
    labels: str | None = None
    relabelled_from: int | None = None
    label_set: str | None = None
    label_set_sha256: str | None = None
    without_a_right_answer: int = 0

    @classmethod
    def from_row(cls, row: Evaluation) -> EvaluationProtocol:
        """The protocol of an evaluation. Raises InvalidRequest where it is damaged."""
        return cls.read(row.protocol, f"The protocol of evaluation {row.id}", InvalidRequest)

    def without_remaining_counts(self) -> EvaluationProtocol:
        """A copy without the counts of `overlap.rest`, which do not apply to other labels."""
        if self.overlap is None:
            return self
        plain = {name: value for name, value in self.overlap.dump().items() if name != "rest"}
        return self.model_copy(update={"overlap": OverlapFacts.model_validate(plain)})

    @property
    def overlap_text(self) -> str | None:
        """The overlap with the calibration set as a sentence; None where it is unknown."""
        return self.overlap.sentence() if self.overlap is not None else None

"""The columns of the results table: one entry a column, and the sets in which they are shown.

Titles, units, digits, help, whether a column counts: tables, exports, terminal, pages and the
report read them here. A new column is one entry here and the query that fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.text import MISSING, is_missing, printable

COUNT, WHOLE, TIME = ",d", "d", "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `form` is a Python format specification; "" for text and for yes or no.

    `stored`: part of the results table, and of CSV and JSON; otherwise made for a page.
    """

    key: str
    title: str
    help: str
    unit: str = ""
    form: str = ""
    stored: bool = True

    @property
    def header(self) -> str:
        """`p50 (ms)`: the title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def integer(self) -> bool:
        """Whether its values are whole numbers: also where some are missing."""
        return self.form.endswith("d")

    @property
    def number(self) -> bool:
        """Whether its values are numbers."""
        return self.form != "" and self.form != TIME

    def text(self, value: Any) -> str:
        """A value for people: its digits, a dash where it is missing, printable on one line."""
        if is_missing(value):
            return MISSING
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str) or not self.form:
            return printable(" ".join(str(value).split()))
        return format(int(value) if self.integer else value, self.form)


_COLUMNS = (
    Column("model_id", "model", "The model: its source and its name there."),
    Column("precision", "precision", "What the build computes in: fp32, fp16 or int8."),
    Column(
        "top1",
        "top-1",
        "Share of images whose true class has the highest score. Scored by class index, never by "
        "name; every readable image counts. A dash: this build was not evaluated.",
        "%",
        ",.2f",
    ),
    Column("top1_low", "top-1 low", "Lower end of top-1's Wilson 95 % interval.", "%", ",.2f"),
    Column("top1_high", "top-1 high", "Upper end of top-1's Wilson 95 % interval.", "%", ",.2f"),
    Column(
        "top5",
        "top-5",
        "Share of images whose true class is among the five highest scores.",
        "%",
        ",.2f",
    ),
    Column("notes", "notes", "What a reader must know before comparing this result.", stored=False),
    Column("top1_count", "top-1 count", "Images whose true class scores highest.", "", COUNT),
    Column("top5_count", "top-5 count", "Images whose true class is in the best 5.", "", COUNT),
    Column("images", "images", "Images evaluated.", "", COUNT),
    Column("images_planned", "images planned", "Images the evaluation was asked for.", "", COUNT),
    Column("images_in_dataset", "images in the dataset", "Images of the dataset.", "", COUNT),
    Column("dataset", "dataset", "Name of the dataset evaluated on."),
    Column("label_set", "labels", "Labels the images are scored by: the dataset's or another set."),
    Column(
        "images_per_s",
        "images/s",
        "Images done per second over the last three windows that agree within the tolerance, alone "
        "on the machine. A dash: this build was not benchmarked.",
        "",
        ",.1f",
    ),
    Column("images_per_s_low", "images/s low", "The slowest of the reported windows.", "", ",.1f"),
    Column(
        "images_per_s_high", "images/s high", "The fastest of the reported windows.", "", ",.1f"
    ),
    Column("latency_mean_ms", "mean", "Mean wall time of one request.", "ms", ",.2f"),
    Column(
        "latency_p50_ms",
        "p50",
        "Median wall time of one request of `batch` images (numpy's linear method).",
        "ms",
        ",.2f",
    ),
    Column("latency_p90_ms", "p90", "90th percentile of one request's wall time.", "ms", ",.2f"),
    Column("latency_p95_ms", "p95", "95th percentile of one request's wall time.", "ms", ",.2f"),
    Column(
        "latency_p99_ms",
        "p99",
        "99th percentile of the wall time of one request. A dash: under 100 requests, where it "
        "would be the maximum.",
        "ms",
        ",.2f",
    ),
    Column("batch", "batch", "Images of one request.", "", WHOLE),
    Column("threads", "threads", "Intra-op threads of one request.", "", WHOLE),
    Column("instances", "instances", "Requests in flight in each process.", "", WHOLE),
    Column("processes", "processes", "Processes that ran at once.", "", WHOLE),
    Column("provider", "provider", "ONNX Runtime's execution provider."),
    Column("runtime", "runtime", "Runtime and its version."),
    Column("scenario", "scenario", "How requests arrive: closed loop, or one of MLPerf's."),
    Column("verdict", "verdict", "Whether the scenario's own condition held, and why not."),
    Column("valid", "valid", "Whether the condition of the scenario was met (yes or no)."),
    Column("stable", "stable", "Whether the last windows agreed within the tolerance."),
    Column("noise", "noisy because", "What disturbed the measurement; a dash: nothing did."),
    Column(
        "elsewhere",
        "nodes on another provider",
        "Nodes of the graph that another provider ran than the one asked for.",
    ),
    Column(
        "other_busy_cores",
        "cores busy with other work",
        "CPU time of other processes while windows were measured, in cores.",
        "",
        ",.2f",
    ),
    Column("samples", "requests", "Requests measured in the reported windows.", "", COUNT),
    Column("load_ms", "load", "Time to open the model.", "ms", ",.0f"),
    Column(
        "first_inference_ms",
        "first inference",
        "Time of the first request after that.",
        "ms",
        ",.1f",
    ),
    Column(
        "peak_rss_mb",
        "peak memory",
        "The largest resident size of the benchmark's process (RSS).",
        "MB",
        ",.0f",
    ),
    Column(
        "achieved_gmacs_per_s",
        "GMAC/s",
        "GMACs of one image times images/s: what was achieved, not what the machine can do.",
        "",
        ",.1f",
    ),
    Column(
        "peak_share",
        "share of the peak",
        "GMAC/s against the most that this machine does in the same precision with as many "
        "threads: the best of several matrix products and convolutions in ONNX Runtime, measured "
        "once. Emulated fp16 is held against fp32; layers of an int8 build left in float count "
        "against int8. A build faster than every product raises the peak, so no share exceeds "
        "100 %. A dash: the peak is not measured (page System), or another provider ran.",
        "%",
        ",.1f",
    ),
    Column(
        "peak_gmacs_per_s",
        "peak",
        "The most this machine does in this precision, with as many threads.",
        "GMAC/s",
        ",.1f",
    ),
    Column(
        "compute_gmacs",
        "GMACs",
        "Multiply-accumulates of one image, counted from the ONNX graph. 1 GMAC = 2 GFLOPs.",
        "",
        ",.4g",
    ),
    Column("params_m", "parameters", "Parameters of the network, in millions.", "M", ",.2f"),
    Column("size_mb", "size", "Bytes of the model file, in MB (10⁶).", "MB", ",.2f"),
    Column("origin", "origin", "Measured here, or imported and from where."),
    Column(
        "weights_kind",
        "weights",
        "Pretrained, from a file, or random. Random weights are fit to measure speed, never "
        "accuracy.",
    ),
    Column(
        "execution",
        "execution",
        "Whether the processor computes in the build's precision itself, or emulates it.",
    ),
    Column(
        "target",
        "int8 target",
        "The kernels that an int8 build is made for: u8 x s8 are unsigned activations and signed "
        "weights (x86), s8 x s8 signed both (Arm, TensorRT).",
    ),
    Column("calibration", "calibration", "Calibration method and images of an int8 build."),
    Column(
        "at_chance",
        "at chance",
        "Whether it is as right as guessing would be (exact binomial test, p > 0.001).",
    ),
    Column(
        "seen_images",
        "images calibrated on",
        "Images of the evaluation that an int8 build took its ranges from, or that its search "
        "under an accuracy constraint was judged on; recognized by their bytes. Accuracy on them "
        "may be flattering: the details give that on the others.",
        "",
        COUNT,
    ),
    Column("preprocess", "preprocessing", "How the images were prepared."),
    Column("environment", "machine", "The machine it was measured on."),
    Column("weights_digest", "weights SHA-256", "Digest of the weights."),
    Column("artifact_digest", "artifact", "Digest of the build."),
    Column("dataset_digest", "dataset digest", "Digest of the dataset's list of images."),
    Column("images_digest", "images digest", "Digest of the images evaluated, of all of them."),
    Column("preparation", "prepared as", "Whose preprocessing: published, vendor's, another."),
    Column("environment_digest", "machine digest", "Digest of the machine's facts."),
    Column("evaluation_id", "evaluation", "Number of the evaluation.", "", WHOLE),
    Column("benchmark_id", "benchmark", "Number of the benchmark.", "", WHOLE),
    Column("measured_at", "measured", "When it was measured.", "UTC", TIME),
)

COLUMNS = {column.key: column for column in _COLUMNS}
STORED = tuple(column.key for column in _COLUMNS if column.stored)
"""Of the results table itself, in the order of CSV and JSON."""

IDENTITY = ("model_id", "precision")
_SUMMARY = (
    "top1", "top1_low", "top1_high", "images_per_s", "latency_p50_ms", "size_mb",
    "compute_gmacs", "images", "dataset", "batch", "instances", "threads", "notes",
    "measured_at",
)  # fmt: skip
_ACCURACY = (
    "top1", "top1_low", "top1_high", "top5", "images", "dataset", "notes", "calibration",
    "target", "preprocess",
)  # fmt: skip
_SPEED = (
    "images_per_s", "images_per_s_low", "images_per_s_high", "scenario", "stable", "noise",
    "other_busy_cores", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "batch", "threads",
    "instances", "load_ms", "first_inference_ms", "peak_rss_mb", "achieved_gmacs_per_s",
    "peak_share", "execution", "environment",
)  # fmt: skip
SETS = {"Summary": _SUMMARY, "Accuracy": _ACCURACY, "Speed": _SPEED}
"""What the pages offer, each beside IDENTITY, in the order shown."""

SWEEP = (
    "precision", "batch", "instances", "threads", "images_per_s", "latency_p50_ms",
    "latency_p90_ms", "latency_p99_ms", "noise",
)  # fmt: skip
TERMINAL = (
    "model_id", "precision", "top1", "95 %", "images", "images_per_s", "latency_p50_ms", "at",
    "peak_share", "size_mb", "artifact_digest",
)  # fmt: skip
"""Of the command `results`; two of them it composes of several columns."""

PROVENANCE_KEYS = ("artifact_digest", "evaluation_id", "benchmark_id")
"""By which a result names the rows that it rests on."""


def header_of(key: str) -> str:
    """A column as people read it above a table; the key itself for one that is not known."""
    column = COLUMNS.get(key)
    return column.header if column else key


def title_of(key: str) -> str:
    """A column's name without its unit; the key itself for one that is not known."""
    column = COLUMNS.get(key)
    return column.title if column else key


def columns_of(name: str) -> list[str]:
    """The columns of a set, identity first; the first set for an unknown name."""
    return [*IDENTITY, *SETS.get(name, next(iter(SETS.values())))]


def choosable_columns() -> list[str]:
    """Everything that can be shown beside the identity."""
    return [name for name in COLUMNS if name not in IDENTITY]

"""The columns of the results table, one entry per column, and the sets in which they are shown.

Tables, exports, terminal, pages and the report take title, unit, digits and help of a column from
here. A new column needs one entry here and a query that fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.text import MISSING, is_missing, printable

COUNT, INTEGER, TIMESTAMP = ",d", "d", "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `format_spec` is a Python format specification; "" for text and for booleans.

    `stored`: part of the results table, of CSV and of JSON; otherwise computed for a page.
    `export_title`: the title in CSV and Excel, where files of earlier versions have another one.
    """

    key: str
    title: str
    help: str
    unit: str = ""
    format_spec: str = ""
    stored: bool = True
    export_title: str = ""

    @property
    def header(self) -> str:
        """`p50 (ms)`: the title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def export_header(self) -> str:
        """The header in CSV and Excel; it stays the same from version to version."""
        title = self.export_title or self.title
        return f"{title} ({self.unit})" if self.unit else title

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers, also if some are missing."""
        return self.format_spec.endswith("d")

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.format_spec != "" and self.format_spec != TIMESTAMP

    def text(self, value: Any) -> str:
        """A value as printable text on one line: rounded, with a dash if it is missing."""
        if is_missing(value):
            return MISSING
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str) or not self.format_spec:
            return printable(" ".join(str(value).split()))
        return format(int(value) if self.is_integer else value, self.format_spec)


_COLUMNS = (
    Column("model_id", "model", "Source of the model and its name there."),
    Column("precision", "precision", "Precision of the build: fp32, fp16, bf16 or int8."),
    Column(
        "top1",
        "top-1",
        "Share of images whose true class has the highest score. Scored by class index, never by "
        "name; every readable image counts. A dash: the build was not evaluated.",
        "%",
        ",.2f",
    ),
    Column(
        "top1_low", "top-1 low", "Lower limit of the Wilson 95 % interval of top-1.", "%", ",.2f"
    ),
    Column(
        "top1_high", "top-1 high", "Upper limit of the Wilson 95 % interval of top-1.", "%", ",.2f"
    ),
    Column(
        "top5",
        "top-5",
        "Share of images whose true class is among the five highest scores.",
        "%",
        ",.2f",
    ),
    Column(
        "notes", "notes", "What limits the comparison of this result with others.", stored=False
    ),
    Column(
        "top1_count",
        "top-1 count",
        "Number of images whose true class has the highest score.",
        "",
        COUNT,
    ),
    Column(
        "top5_count", "top-5 count", "Number of images whose true class is in the top 5.", "", COUNT
    ),
    Column("images", "images", "Number of images evaluated.", "", COUNT),
    Column(
        "images_planned",
        "images planned",
        "Number of images requested for the evaluation.",
        "",
        COUNT,
    ),
    Column(
        "images_in_dataset", "images in the dataset", "Number of images in the dataset.", "", COUNT
    ),
    Column("dataset", "dataset", "Dataset of the evaluation."),
    Column(
        "label_set",
        "labels",
        "Labels used for scoring: those of the dataset, or another label set.",
    ),
    Column(
        "images_per_s",
        "images/s",
        "Throughput: images per second over all rounds of the measuring session, with no other "
        "job on the machine. A dash: the build was not benchmarked.",
        "",
        ",.1f",
    ),
    Column(
        "images_per_s_low",
        "images/s low",
        "Lower limit of the 95 % interval of images/s between the rounds of the session. For a "
        "scenario and for earlier versions: the slowest window.",
        "",
        ",.1f",
    ),
    Column(
        "images_per_s_high",
        "images/s high",
        "Upper limit of the 95 % interval of images/s between the rounds of the session. For a "
        "scenario and for earlier versions: the fastest window.",
        "",
        ",.1f",
    ),
    Column(
        "speed_up",
        "speed-up vs fp32",
        "Throughput over that of fp32 of the same model, paired by round in one measuring session "
        "(signed-rank estimate). A dash: both were not measured in one session.",
        "×",
        ",.2f",
    ),
    Column("speed_up_low", "speed-up low", "Lower limit of its 95 % interval.", "×", ",.2f"),
    Column("speed_up_high", "speed-up high", "Upper limit of its 95 % interval.", "×", ",.2f"),
    Column(
        "speed_up_p",
        "speed-up p",
        "The p-value of the signed-rank test that the build is as fast as fp32.",
        "",
        ".2g",
    ),
    Column(
        "not_faster",
        "not faster than fp32",
        "Marks a build whose speed-up vs fp32 does not lie above 1 (its 95 % interval), and names "
        "the fastest precision or runtime that does. A dash: it is faster, or it is not known.",
    ),
    Column(
        "machine_state",
        "machine speed",
        "How the throughput behaved over the rounds: two speeds, or a drift. A dash: one speed.",
    ),
    Column("session", "session", "Builds with the same key were measured in one session."),
    Column("latency_mean_ms", "mean", "Mean latency (wall time of one request).", "ms", ",.2f"),
    Column(
        "latency_p50_ms",
        "p50",
        "Median latency: wall time of one request of `batch` images (numpy, linear method).",
        "ms",
        ",.2f",
    ),
    Column("latency_p90_ms", "p90", "90th percentile of the latency of one request.", "ms", ",.2f"),
    Column("latency_p95_ms", "p95", "95th percentile of the latency of one request.", "ms", ",.2f"),
    Column(
        "latency_p99_ms",
        "p99",
        "99th percentile of the latency of one request. A dash: fewer than 100 requests were "
        "measured, so p99 would be the maximum.",
        "ms",
        ",.2f",
    ),
    Column("batch", "batch", "Batch size: images per request.", "", INTEGER),
    Column("threads", "threads", "Intra-op threads of each request.", "", INTEGER),
    Column(
        "instances",
        "concurrency",
        "Concurrency: requests in flight in each process.",
        "",
        INTEGER,
        export_title="instances",
    ),
    Column("processes", "processes", "Processes that run at the same time.", "", INTEGER),
    Column("provider", "provider", "Execution provider of ONNX Runtime."),
    Column("runtime", "runtime", "Runtime that executed the build, and its version."),
    Column("scenario", "scenario", "How requests arrive: closed loop, or an MLPerf scenario."),
    Column("verdict", "verdict", "Whether the condition of the scenario was met, and if not, why."),
    Column("valid", "valid", "Whether the condition of the scenario was met (yes or no)."),
    Column(
        "stable",
        "stable",
        "Whether the 95 % interval of images/s is within 5 % of its middle; for a scenario, "
        "whether the last windows agree.",
    ),
    Column(
        "noise",
        "interference",
        "Other load that disturbed the measurement. A dash: none was found.",
        export_title="noisy because",
    ),
    Column(
        "placement",
        "arithmetic",
        "Layers by the arithmetic that they ran in, as the runtime reports it. A dash: it does not "
        "report it.",
    ),
    Column(
        "elsewhere",
        "nodes on another provider",
        "Graph nodes that ran on another execution provider than the requested one.",
    ),
    Column(
        "other_busy_cores",
        "cores busy with other work",
        "CPU load of other processes during the measured windows, in cores.",
        "",
        ",.2f",
    ),
    Column("samples", "requests", "Number of requests in the reported windows.", "", COUNT),
    Column("load_ms", "load", "Time to load the model.", "ms", ",.0f"),
    Column(
        "first_inference_ms",
        "first inference",
        "Latency of the first request after loading.",
        "ms",
        ",.1f",
    ),
    Column(
        "peak_rss_mb",
        "peak memory",
        "Peak resident set size (RSS) of the benchmark process.",
        "MB",
        ",.0f",
    ),
    Column(
        "achieved_gmacs_per_s",
        "GMAC/s",
        "Achieved compute: GMACs per image times images/s.",
        "",
        ",.1f",
    ),
    Column(
        "peak_share",
        "share of the peak",
        "Achieved GMAC/s as a share of the machine's peak at the same precision and number of "
        "threads, in the same runtime. The peak is the best of several matrix products and "
        "convolutions, measured once. Emulated fp16 is compared with the fp32 peak; float layers "
        "of an int8 build with the int8 peak. A build faster than every product raises the peak, "
        "so no share exceeds 100 %. A dash: the peak was not measured (page System), or another "
        "provider was used.",
        "%",
        ",.1f",
    ),
    Column(
        "peak_gmacs_per_s",
        "peak",
        "Peak compute of the machine at this precision and number of threads.",
        "GMAC/s",
        ",.1f",
    ),
    Column(
        "compute_gmacs",
        "GMACs",
        "Multiply-accumulates per image, counted from the ONNX graph. 1 GMAC = 2 GFLOPs.",
        "",
        ",.4g",
    ),
    Column("params_m", "parameters", "Parameters of the model, in millions.", "M", ",.2f"),
    Column("size_mb", "size", "Size of the model file in MB (10⁶ bytes).", "MB", ",.2f"),
    Column("origin", "origin", "Measured on this machine, or the source of the import."),
    Column(
        "weights_kind",
        "weights",
        "Pretrained, from a file, or random. Random weights are valid for speed only, never for "
        "accuracy.",
    ),
    Column(
        "execution",
        "execution",
        "Whether the processor runs the precision natively or emulates it.",
    ),
    Column(
        "target",
        "int8 target",
        "Kernels that an int8 build is made for. u8 x s8: unsigned activations, signed weights "
        "(x86). s8 x s8: both signed (Arm, TensorRT).",
    ),
    Column(
        "calibration", "calibration", "Calibration method and calibration images of an int8 build."
    ),
    Column(
        "at_chance",
        "at chance",
        "Whether the accuracy is no better than guessing (exact binomial test, p > 0.001).",
    ),
    Column(
        "seen_images",
        "calibration overlap",
        "Evaluated images that the int8 build also used for calibration or for its search under an "
        "accuracy constraint; found by comparing file contents. Accuracy on them may be too high: "
        "the details show the accuracy on the other images.",
        "",
        COUNT,
        export_title="images calibrated on",
    ),
    Column("preprocess", "preprocessing", "Preprocessing of the images."),
    Column("environment", "machine", "Machine of the measurement."),
    Column("host", "host", "Label of the host that measured it."),
    Column("weights_digest", "weights SHA-256", "SHA-256 of the weights."),
    Column("artifact_digest", "artifact", "SHA-256 of the build."),
    Column("dataset_digest", "dataset digest", "SHA-256 of the dataset's list of images."),
    Column("images_digest", "images digest", "Digest of all evaluated images."),
    Column(
        "preparation",
        "preprocessing source",
        "Source of the preprocessing: published, the vendor's, or custom.",
        export_title="prepared as",
    ),
    Column(
        "environment_digest", "machine digest", "Digest of the facts that describe the machine."
    ),
    Column("evaluation_id", "evaluation", "ID of the evaluation.", "", INTEGER),
    Column("benchmark_id", "benchmark", "ID of the benchmark.", "", INTEGER),
    Column("measured_at", "measured", "Time of the measurement.", "UTC", TIMESTAMP),
    Column("tag", "tag", "Tag of the build, given on the page Results."),
    Column("note", "note", "Note on the build, written on the page Results."),
)

COLUMNS = {column.key: column for column in _COLUMNS}
STORED = tuple(column.key for column in _COLUMNS if column.stored)
"""Columns of the results table, in the order of CSV and JSON."""

IDENTITY = ("model_id", "precision")
_SUMMARY = (
    "runtime", "top1", "images_per_s", "speed_up", "latency_p50_ms", "size_mb", "notes", "tag",
    "measured_at", "top1_low", "top1_high", "compute_gmacs", "images", "dataset", "batch",
    "instances", "threads",
)  # fmt: skip
_ACCURACY = (
    "runtime", "top1", "top1_low", "top1_high", "top5", "images", "dataset", "notes", "calibration",
    "target", "preprocess",
)  # fmt: skip
_SPEED = (
    "runtime", "placement", "images_per_s", "images_per_s_low", "images_per_s_high", "speed_up",
    "speed_up_low", "speed_up_high", "speed_up_p", "not_faster", "scenario", "stable",
    "machine_state", "noise",
    "other_busy_cores", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "batch", "threads",
    "instances", "load_ms", "first_inference_ms", "peak_rss_mb", "achieved_gmacs_per_s",
    "peak_share", "execution", "environment", "host",
)  # fmt: skip
SETS = {"Summary": _SUMMARY, "Accuracy": _ACCURACY, "Speed": _SPEED}
"""Column sets that the pages offer, each after IDENTITY, in this order."""

SWEEP = (
    "precision", "runtime", "batch", "instances", "threads", "images_per_s", "latency_p50_ms",
    "latency_p90_ms", "latency_p99_ms", "noise",
)  # fmt: skip
TERMINAL = (
    "model_id", "precision", "runtime", "top1", "95 %", "images", "images_per_s", "speed_up",
    "latency_p50_ms", "at", "peak_share", "size_mb", "artifact_digest",
)  # fmt: skip
"""Columns of the command `results`; it composes two of them from several columns."""

PROVENANCE_KEYS = ("artifact_digest", "evaluation_id", "benchmark_id")
"""Columns that identify the database rows of a result."""


def export_header_of(key: str) -> str:
    """The header of a column in CSV and Excel; the key itself if the column is unknown."""
    column = COLUMNS.get(key)
    return column.export_header if column else key


def header_of(key: str) -> str:
    """The header of a column in tables (title and unit); the key itself if it is unknown."""
    column = COLUMNS.get(key)
    return column.header if column else key


def title_of(key: str) -> str:
    """The title of a column without its unit; the key itself if it is unknown."""
    column = COLUMNS.get(key)
    return column.title if column else key


def columns_in_set(name: str) -> list[str]:
    """The columns of a set after IDENTITY; those of the first set for an unknown name."""
    return [*IDENTITY, *SETS.get(name, next(iter(SETS.values())))]


def selectable_columns() -> list[str]:
    """All columns that a user can select (all except IDENTITY)."""
    return [name for name in COLUMNS if name not in IDENTITY]

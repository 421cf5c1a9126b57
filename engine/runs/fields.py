"""Every field of a request, described once: command line, New run, facts and clones read it here.

A name with a dot is a setting of a field that holds several, such as `weights.seed`. Defaults come
from the models themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from typing import Any, get_args

from db.enums import Precision, WeightsKind
from engine.common.untrusted import MAX_CLASSES, MAX_FIGURE, MAX_INTEGER
from engine.errors import InvalidRequest
from engine.preprocess.protocols import VENDOR
from engine.preprocess.spec import (
    MAX_SIDE,
    PIXEL_SCALE,
    Color,
    Interpolation,
    PreprocessSpec,
    ResizeMode,
    Resizer,
)
from engine.runs.request import RunRequest, Task
from engine.specs import (
    CalibrationMode,
    ExportFormat,
    ExportRoute,
    Scenario,
    TargetName,
    WeightsSpec,
)

INT8 = str(Precision.INT8)
SERVER = str(Scenario.SERVER)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how it is called and explained, its bounds and choices, and where it applies.

    `choices` are all there are where `closed`, else proposals. `applies` names another field and
    the values of it that this one belongs to. `always`: among the facts of a run even where it is
    the default, if it applies. `derived`: filled in when a run is queued, asked of nobody.
    """

    name: str
    label: str
    help: str = ""
    unit: str = ""
    flags: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    choices: tuple[Any, ...] = ()
    closed: bool = True
    zero: str = "0"
    applies: tuple[str, tuple[str, ...]] | None = None
    always: bool = False
    derived: bool = False

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def default(self) -> Any:
        """What the field is where nothing was said; None where it must be said."""
        return DEFAULTS.get(self.name)

    def text(self, value: Any) -> str:
        """A value in words, whole: no digit of it is left out."""
        if isinstance(value, list | tuple):
            return ", ".join(self.text(one) for one in value) or "none"
        if value is None:
            return "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if value == 0 and isinstance(value, int):
            return self.zero
        return f"{number_text(value)} {self.unit}".strip() if self.unit else number_text(value)


def _all(kind: Any) -> tuple[str, ...]:
    """The members of an enum, or of a Literal."""
    return tuple(map(str, get_args(kind) or kind))


_TABLE = (
    Field("model_id", "Model", "A model: `timm/seresnet50`, `mmcls/seresnet101`, `ppcls/senet154`, "
          "any `timm/<name>`, or `onnx/<name>` with weights from a file.", always=True),
    Field("weights", "Weights", "`pretrained`, `random` (speed only), or a file (.pth, "
          ".safetensors, .pdparams, .pdiparams, .onnx).", flags=("--weights",), always=True),
    Field("weights.kind", "Weights", choices=_all(WeightsKind)),
    Field("weights.path", "Weights file"),
    Field("weights.sha256", "Weights SHA-256", derived=True),
    Field("weights.seed", "Seed of random weights", flags=("--seed",), least=-MAX_INTEGER,
          most=MAX_INTEGER, applies=("weights.kind", (str(WeightsKind.RANDOM),))),
    Field("weights.key", "Weights key", "Which of several sets of weights in a file, such as "
          "`state_dict_ema`, `model_ema` or `ema`; without it the weights themselves are taken "
          "before averages of them.", flags=("--weights-key",)),
    Field("precisions", "Precisions", "fp32, fp16 or int8. All if left out.",
          flags=("--precision", "-p"), choices=_all(Precision), always=True),
    Field("tasks", "Tasks", "A build implies the export, a measurement the build. Profile: where "
          "the time of an inference goes, operator by operator.", choices=_all(Task), always=True),
    Field("dataset", "Evaluation dataset", "A registered dataset to evaluate on.",
          flags=("--dataset", "-d")),
    Field("limit", "Max images", "Evaluate on so many images only, drawn evenly by class.",
          flags=("--max-images",), least=1, most=MAX_INTEGER),
    Field("calibration_dataset", "Calibration dataset", "Dataset that int8 is calibrated on. If "
          "left out: the evaluation dataset if there is one, else synthetic images.",
          flags=("--calibration-dataset",)),
    Field("calibration_images", "Calibration images", "Images to calibrate int8 on.",
          flags=("--calibration-images",), least=1, most=50_000,
          applies=("precisions", (INT8,)), always=True),
    Field("calibration_mode", "Calibration method", "How int8 ranges are taken from the values "
          "seen: max keeps every value; the others leave rare large ones out. mse, which leaves "
          "out what costs less than finer steps bring, keeps most accuracy on SE networks.",
          flags=("--calibration-method",), choices=_all(CalibrationMode),
          applies=("precisions", (INT8,)), always=True),
    Field("calibration_percentile", "Percentile", "Share of values kept by the calibration method "
          "percentile.", "%", ("--calibration-percentile",), 50.000001, 100,
          applies=("calibration_mode", (str(CalibrationMode.PERCENTILE),)), always=True),
    Field("keep_in_float", "Layers excluded from quantization", "Numbers of convolutions in graph "
          "order, from 0, such as 0,4.", flags=("--exclude-layers",), least=0, most=MAX_INTEGER),
    Field("max_drop", "Max accuracy drop", "Percentage points of top-1 that int8 may lose against "
          "fp32: as few layers as needed go back to float, judged by the paired interval on "
          "images of the calibration set that ranges were not taken from.", "pp",
          ("--max-accuracy-drop",), 0.01, 100),
    Field("target", "int8 target", "What int8 is made for: x86-vnni (u8 x s8), x86 (the same "
          "without VNNI), arm (s8 x s8), tensorrt (s8 x s8, no zero points, biases in float); "
          "auto: this processor, or TensorRT with its provider.", flags=("--target",),
          choices=_all(TargetName)),
    Field("softmax", "Append a softmax", "Append a softmax, so that the build gives "
          "probabilities.",
          flags=("--softmax",)),
    Field("batches", "Batch sizes", "Images per request of the benchmark. 1 if left out.",
          flags=("--batch", "-b"), least=1, most=4096,
          choices=(1, 2, 4, 8, 16, 32, 64), closed=False, always=True),
    Field("threads", "Intra-op threads", "Threads of each request in flight; 0 (if left out): all "
          "cores, shared out.", flags=("--threads", "-t"), least=0, most=1024,
          choices=(0, 1, 2, 4, 8, 16, 32), closed=False, zero="all cores", always=True),
    Field("instances", "Concurrency", "Requests in flight. 1 if left out. With several batch "
          "sizes, threads or concurrencies every combination is measured; Compare then names the "
          "best under a limit on the latency.", flags=("--concurrency", "-i"), least=1, most=256,
          choices=(1, 2, 4, 8, 16), closed=False, always=True),
    Field("scenario", "Scenario", "How requests come: closed-loop (the next after the last), or as "
          "in MLPerf: single-stream (p90 of one image at a time), offline (images/s of all at "
          "once), server (arrivals by chance, a limit on the p99). Results of different scenarios "
          "are never mixed.", flags=("--scenario",), choices=_all(Scenario)),
    Field("rate_per_s", "Arrival rate", "Requests per second of scenario server; if left out, the "
          "highest rate that keeps the limit is searched, for at most four times the longest time "
          "of a benchmark.", "requests/s", ("--arrival-rate",), 0.001, MAX_FIGURE,
          applies=("scenario", (SERVER,))),
    Field("limit_ms", "Max p99 latency", "Longest p99 of scenario server.", "ms",
          ("--max-latency",), 0.001, MAX_FIGURE, applies=("scenario", (SERVER,))),
    Field("arrivals_seed", "Seed of the arrivals", "Seed of the arrivals of scenario "
          "server.",
          flags=("--arrival-seed",), least=0, most=MAX_INTEGER, applies=("scenario", (SERVER,))),
    Field("again", "Ignore cached results", "Measure points of a sweep anew that were measured "
          "before. Without it a sweep that was stopped goes on where it was.",
          flags=("--ignore-cached",)),
    Field("provider", "Execution provider", "ONNX Runtime execution provider.",
          flags=("--provider",), closed=False, always=True,
          choices=("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")),
    Field("benchmark_max_s", "Max duration of a benchmark", "Longest time of a benchmark; "
          "one whose windows do not agree before is unstable.", "s", ("--max-duration",), 1, 3600),
    Field("preprocess", "Preprocessing", "How images are prepared. published: as the model's "
          "figures were measured. vendor: squashed to 256 x 256, crop 224, OpenCV. custom: its own "
          "settings; what they leave out is as published. Results of different protocols are "
          "never compared.", flags=("--protocol",)),
    Field("evaluation_preprocess", "Preprocessing of the evaluation", "Another preprocessing for "
          "the evaluation alone; what it leaves out is as the export has it."),
    Field("preprocess.resize", "Resize", "Short side after resizing. 0: not resized.", "px",
          ("--resize",), 0, MAX_SIDE),
    Field("preprocess.resize_mode", "Resize mode", "short_side (keeps the aspect ratio) or "
          "squash.", flags=("--resize-mode",), choices=_all(ResizeMode)),
    Field("preprocess.crop", "Center crop", "Side of the center crop; without a resize, that grows "
          "with it.", "px", ("--crop",), 1, MAX_SIDE),
    Field("preprocess.interpolation", "Interpolation", "bilinear or bicubic.",
          flags=("--interpolation",), choices=_all(Interpolation)),
    Field("preprocess.resizer", "Resize library", "pillow (smooths while shrinking) or opencv "
          "(does not).", flags=("--resize-library",), choices=_all(Resizer)),
    Field("preprocess.color", "Channel order", "rgb, or bgr for networks trained on it.",
          flags=("--channel-order",), choices=_all(Color)),
    Field("preprocess.scale", "Scale", "What pixels are multiplied by before mean and std: `1/255` "
          "(the usual one), or `1` for a network that takes pixels from 0 to 255.",
          flags=("--scale",)),
    Field("preprocess.mean", "Mean", "By channel, e.g. `0.5,0.5,0.5`; with std. Of pixels from 0 "
          "to 1, or with scale 1 from 0 to 255.", flags=("--mean",)),
    Field("preprocess.std", "Std", "By channel, e.g. `0.5,0.5,0.5`.", flags=("--std",)),
    Field("background", "Background class", "Index of the output that is no class (0 for TF-Hub "
          "networks, which have 1,001 outputs).", flags=("--background",), least=0,
          most=MAX_CLASSES, applies=("model_id", ("onnx",))),
    Field("output", "Output with the scores", "Of an ONNX file of several outputs; if left out, "
          "the one with the dataset's number of classes.", flags=("--output",),
          applies=("model_id", ("onnx",))),
    Field("classes", "Classes of the dataset", derived=True),
    Field("format", "Export format", "onnx or torchscript.", flags=("--format",),
          choices=_all(ExportFormat)),
    Field("via", "Exporter", "torch, or paddle2onnx for a PaddleClas inference model (.pdiparams "
          "with its .pdmodel or .json beside it; needs `make setup-paddle`).",
          flags=("--exporter",), choices=_all(ExportRoute)),
)  # fmt: skip
FIELDS: dict[str, Field] = {field.name: field for field in _TABLE}
SETTINGS = tuple(name for name in FIELDS if name.startswith("preprocess."))
"""The settings of a preprocessing, by their names in the table."""


def _defaults() -> Iterator[tuple[str, Any]]:
    for prefix, model in (("", RunRequest), ("weights.", WeightsSpec)):
        for name, info in model.model_fields.items():
            yield f"{prefix}{name}", None if info.is_required() else info.default
    for setting in fields(PreprocessSpec):
        assert setting.default is not MISSING
        yield f"preprocess.{setting.name}", setting.default


DEFAULTS: dict[str, Any] = dict(_defaults())


def facts_of(asked: Mapping[str, Any]) -> dict[str, str]:
    """What a stored request asks for, in words by label: what is not the default, and the usual.

    `asked` is JSON, of any version: fields that it lacks are as by default, and those that are not
    known any more are shown under their own names.
    """
    usual = RunRequest(model_id="").to_json()
    facts: dict[str, str] = {}
    for name in [*filter(lambda name: "." not in name, FIELDS), *(set(asked) - set(FIELDS))]:
        field = FIELDS.get(name, Field(name, name))
        value = asked.get(name, usual.get(name))
        if name == "weights":
            facts |= _weights_facts(value or usual["weights"])
        elif _differs(value, usual.get(name)) or (field.always and _applies(field, asked, usual)):
            whole = preprocess_text(value) if isinstance(value, dict) else field.text(value)
            facts[field.label] = whole
    return facts


def _differs(value: Any, usual: Any) -> bool:
    """Requests of before there were sweeps hold a single number where there is a list now."""
    return (value if not isinstance(usual, list) or isinstance(value, list) else [value]) != usual


def _applies(field: Field, asked: Mapping[str, Any], usual: Mapping[str, Any]) -> bool:
    if field.applies is None:
        return True
    other, wanted = field.applies
    value = asked.get(other, usual.get(other))
    held = value if isinstance(value, list) else [value]
    parent = FIELDS[other]
    return any(one in wanted for one in held) and _applies(parent, asked, usual)


def _weights_facts(weights: Mapping[str, Any]) -> dict[str, str]:
    """The file, else the kind; a digest, seed and key where there are any."""
    facts = {"Weights": str(weights.get("path") or weights.get("kind"))}
    for part in ("sha256", "seed", "key"):
        field = FIELDS[f"weights.{part}"]
        if weights.get(part, field.default) != field.default:
            facts[field.label] = str(weights[part])
    return facts


def preprocess_text(given: Mapping[str, Any]) -> str:
    """A preprocessing in words: `vendor`, or each of its settings."""
    if given == VENDOR.to_dict():
        return "vendor"
    parts = []
    for name, value in given.items():
        field = FIELDS.get(f"preprocess.{name}", Field(name, name))
        if name == "scale":
            told = scale_text(value)
        else:
            told = "none" if value is None else field.text(value)
        parts.append(f"{field.label} {told}")
    return "; ".join(parts)


def number_text(value: Any) -> str:
    """A number with all its digits and no more: `30`, `0.485`; any other value as it is."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def scale_text(scale: float) -> str:
    """`1/255`, which no decimal number is, else the number."""
    return "1/255" if scale == PIXEL_SCALE else number_text(scale)


def read_number(name: str, text: str) -> float:
    """A number, or a fraction such as 1/255. Raises InvalidRequest that names the field."""
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise InvalidRequest(
            f"{name} takes a number, such as 1 or 1/255, not {text[:40]!r}."
        ) from error


def read_three(name: str, text: str) -> list[float]:
    """`0.485 0.456 0.406`, with commas or spaces. Raises InvalidRequest that names the field."""
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != 3:
        raise InvalidRequest(
            f"{name} must be three numbers, one for each channel, such as 0.5,0.5,0.5, not "
            f"{text[:40]!r}."
        )
    return values


def read_layers(name: str, text: str) -> tuple[int, ...]:
    """`0, 4` with commas or spaces, in order, each once. Raises InvalidRequest."""
    words = text.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InvalidRequest(f"{name} takes numbers from 0, such as 0,4, not {text[:40]!r}.")
    return tuple(sorted({int(word) for word in words}))

"""One table of all fields of a request: label, help, unit, bounds, choices and options.

The command line, the form of New run, the configuration of a run and its clones read it. A name
with a dot is a part of a field, such as `weights.seed`. Defaults come from the models themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
from engine.runtimes.registry import RUNTIMES
from engine.specs import (
    DEFAULT_RUNTIME,
    BiasCorrection,
    CalibrationMode,
    ExportFormat,
    ExportRoute,
    Scenario,
    TargetName,
    WeightsSpec,
)
from engine.specs.precisions import PRECISIONS, any_precision, sharing

INT8_FILES = tuple(map(str, sharing(Precision.INT8)))
SERVER = str(Scenario.SERVER)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request.

    `flags` are its options on the command line. With `closed`, other values than `choices` are not
    allowed. `zero_text` replaces the number 0. `depends_on` is another field and the values of it
    for which this field applies. `always_shown`: shown in the configuration of a run also where it
    is the default, if it applies. `derived`: computed when a run is queued; users cannot set it.
    """

    name: str
    label: str
    help: str = ""
    unit: str = ""
    flags: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    choices: Collection[Any] = ()
    closed: bool = True
    zero_text: str = "0"
    depends_on: tuple[str, tuple[str, ...]] | None = None
    always_shown: bool = False
    derived: bool = False

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def default(self) -> Any:
        """The default value; None for a required field."""
        return DEFAULTS.get(self.name)

    def format_value(self, value: Any) -> str:
        """A value as text, with all its digits."""
        if isinstance(value, list | tuple):
            return ", ".join(self.format_value(item) for item in value) or "none"
        if value is None:
            return "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if value == 0 and isinstance(value, int):
            return self.zero_text
        return f"{format_number(value)} {self.unit}".strip() if self.unit else format_number(value)


def _all(kind: Any) -> tuple[str, ...]:
    """The members of an enum, or of a Literal."""
    return tuple(map(str, get_args(kind) or kind))


_TABLE = (
    Field("model_id", "Model", "A model: `timm/seresnet50`, `mmcls/seresnet101`, `ppcls/senet154`, "
          "any `timm/<name>`, or `onnx/<name>` with weights from a file.", always_shown=True),
    Field("other_models", "Further models"),
    Field("name", "Name", "A name of the run, to find it again. Default: its models and "
          "precisions.", flags=("--name",)),
    Field("notes", "Notes", "Notes on the run: what it is for.", flags=("--notes",)),
    Field("tags", "Tags", "Tags of the run, to find it again.", flags=("--tag",), closed=False),
    Field("hosts", "Hosts", "Host that measures, by its label; like:LABEL is any host of the same "
          "device model. With several, every build is measured on each. Default: any host.",
          flags=("--host",), closed=False),
    Field("weights", "Weights", "`pretrained`, `random` (for speed only), or a file (.pth, "
          ".safetensors, .pdparams, .pdiparams, .onnx).", flags=("--weights",), always_shown=True),
    Field("weights.kind", "Weights", choices=_all(WeightsKind)),
    Field("weights.path", "Weights file"),
    Field("weights.sha256", "Weights SHA-256", derived=True),
    Field("weights.seed", "Seed of random weights", flags=("--seed",), minimum=-MAX_INTEGER,
          maximum=MAX_INTEGER, depends_on=("weights.kind", (str(WeightsKind.RANDOM),))),
    Field("weights.key", "Weights key", "Which set of weights to read from a file with several, "
          "such as `state_dict_ema`, `model_ema` or `ema`. Default: the trained weights, not an "
          "average of them.", flags=("--weights-key",)),
    Field("precisions", "Precisions", f"{any_precision()}. bf16 executes the fp32 file in bf16, "
          "int8-bf16 the int8 file with bf16 where it is not integer. Default: all that a runtime "
          "of the run executes.",
          flags=("--precision", "-p"), choices=PRECISIONS, always_shown=True),
    Field("tasks", "Tasks", "A build includes the export; benchmark, evaluate and profile include "
          "the build. Profile: inference time by operator.", choices=_all(Task),
          always_shown=True),
    Field("dataset", "Evaluation dataset", "A registered dataset to evaluate on.",
          flags=("--dataset", "-d")),
    Field("limit", "Max images", "Max number of images to evaluate on, sampled evenly by class.",
          flags=("--max-images",), minimum=1, maximum=MAX_INTEGER),
    Field("calibration_dataset", "Calibration dataset", "Dataset to calibrate int8 on. Default: "
          "the evaluation dataset if there is one, else synthetic images.",
          flags=("--calibration-dataset",)),
    Field("calibration_images", "Calibration images", "Number of images to calibrate int8 on.",
          flags=("--calibration-images",), minimum=1, maximum=50_000,
          depends_on=("precisions", INT8_FILES), always_shown=True),
    Field("calibration_mode", "Calibration method", "How the int8 range of each tensor is computed "
          "from its values. max: the full range. percentile, mse, kl_divergence: rare large values "
          "are clipped. mse minimizes the quantization error and keeps the most accuracy on SE "
          "networks.", flags=("--calibration-method",), choices=_all(CalibrationMode),
          depends_on=("precisions", INT8_FILES), always_shown=True),
    Field("calibration_percentile", "Percentile", "Percentage of values inside the range, for "
          "calibration method percentile.", "%", ("--calibration-percentile",), 50.000001, 100,
          depends_on=("calibration_mode", (str(CalibrationMode.PERCENTILE),)), always_shown=True),
    Field("keep_in_float", "Layers excluded from quantization", "Indices of convolutions in graph "
          "order, from 0, such as 0,4.", flags=("--exclude-layers",), minimum=0,
          maximum=MAX_INTEGER),
    Field("max_drop", "Accuracy constraint", "Max top-1 drop of int8 against fp32, in percentage "
          "points. As few layers as needed are excluded from quantization. The drop is bounded by "
          "a paired confidence interval on images of the calibration set that are not used to "
          "calibrate.", "pp", ("--max-accuracy-drop",), 0.01, 100),
    Field("target", "int8 target", "Hardware that int8 is built for: x86-vnni (u8 x s8), x86 (u8 x "
          "s8 without VNNI), arm (s8 x s8), tensorrt (s8 x s8, no zero points, biases in float). "
          "auto: this processor, or TensorRT with its execution provider.", flags=("--target",),
          choices=_all(TargetName)),
    Field("bias_correction", "Bias correction", "How int8 biases are corrected. fast: for "
          "the rounding of weights. accurate: layer after layer, from the means of quantized "
          "activations; worth a try where all layers are in int8 and accuracy is lost.",
          flags=("--bias-correction",), choices=_all(BiasCorrection),
          depends_on=("precisions", INT8_FILES)),
    Field("softmax", "Append a softmax", "Append a softmax, so that the build outputs "
          "probabilities.", flags=("--softmax",)),
    Field("batches", "Batch sizes", "Images per request of the benchmark. Default: 1.",
          flags=("--batch", "-b"), minimum=1, maximum=4096,
          choices=(1, 2, 4, 8, 16, 32, 64), closed=False, always_shown=True),
    Field("threads", "Intra-op threads", "Threads of each request in flight. 0 (default): all "
          "cores, divided by the concurrency.", flags=("--threads", "-t"), minimum=0, maximum=1024,
          choices=(0, 1, 2, 4, 8, 16, 32), closed=False, zero_text="all cores",
          always_shown=True),
    Field("instances", "Concurrency", "Requests in flight. Default: 1. With several batch sizes, "
          "threads or concurrencies, every combination is measured; Compare then shows the best "
          "operating point.", flags=("--concurrency", "-i"), minimum=1, maximum=256,
          choices=(1, 2, 4, 8, 16), closed=False, always_shown=True),
    Field("scenario", "Scenario", "How requests arrive. closed-loop: each follows the previous "
          "one. As in MLPerf: single-stream (p90 latency of one image at a time), offline "
          "(images/s of all images at once), server (Poisson arrivals, max p99 latency). "
          "end-to-end: image files of the dataset, with decoding and preprocessing. Results of "
          "different scenarios are not compared.", flags=("--scenario",),
          choices=_all(Scenario)),
    Field("rate_per_s", "Arrival rate", "Requests per second of scenario server. Default: search "
          "the highest rate within the max p99 latency, for up to 4 x the max duration.",
          "requests/s", ("--arrival-rate",), 0.001, MAX_FIGURE, depends_on=("scenario", (SERVER,))),
    Field("limit_ms", "Max p99 latency", "Max p99 latency of scenario server.", "ms",
          ("--max-latency",), 0.001, MAX_FIGURE, depends_on=("scenario", (SERVER,))),
    Field("arrivals_seed", "Seed of the arrivals", "Seed of the arrival times of scenario server.",
          flags=("--arrival-seed",), minimum=0, maximum=MAX_INTEGER,
          depends_on=("scenario", (SERVER,))),
    Field("again", "Ignore cached results", "Measure every combination of a sweep again. Without "
          "it, results on this machine are reused and an interrupted sweep continues.",
          flags=("--ignore-cached",)),
    Field("compare_fp32", "Comparison with fp32", "Measure each int8, fp16 and bf16 build in one "
          "session with fp32 of its model, at batch 1, after the builds. A build that is not "
          "faster is marked. fp32 is built for it if it was not chosen. What was compared on "
          "this machine before is not measured again.",
          flags=("--compare-fp32/--no-compare-fp32",)),
    Field("runtimes", "Runtimes", f"{', '.join(RUNTIMES)}. Each build is measured in each runtime "
          "that executes its precision; the others are listed with the reason. Default: "
          f"{DEFAULT_RUNTIME}.", flags=("--runtime", "-r"), choices=RUNTIMES, closed=False,
          always_shown=True),
    Field("provider", "Execution provider", "ONNX Runtime execution provider.",
          flags=("--provider",), closed=False, always_shown=True,
          choices=("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")),
    Field("benchmark_max_s", "Max duration", "Max duration for each build of the measuring "
          "session; it ends earlier where the intervals are narrow.", "s", ("--max-duration",), 1,
          3600),
    Field("preprocess", "Preprocessing", "published: as in the published evaluation of the model. "
          "vendor: squash to 256 x 256, crop 224, OpenCV. custom: your settings; the others stay "
          "as published. Results with different preprocessing are not compared.",
          flags=("--protocol",)),
    Field("evaluation_preprocess", "Evaluation preprocessing", "Preprocessing of the evaluation "
          "only. Settings left empty stay as exported."),
    Field("preprocess.resize", "Resize", "Short side after resizing. 0: no resizing.", "px",
          ("--resize",), 0, MAX_SIDE),
    Field("preprocess.resize_mode", "Resize mode", "short_side (keeps the aspect ratio) or "
          "squash.", flags=("--resize-mode",), choices=_all(ResizeMode)),
    Field("preprocess.crop", "Center crop", "Side of the center crop. If the resize is not set, it "
          "is scaled with the crop.", "px", ("--crop",), 1, MAX_SIDE),
    Field("preprocess.interpolation", "Interpolation", "bilinear or bicubic.",
          flags=("--interpolation",), choices=_all(Interpolation)),
    Field("preprocess.resizer", "Resize library", "pillow (antialiasing when it downscales) or "
          "opencv (none).", flags=("--resize-library",), choices=_all(Resizer)),
    Field("preprocess.color", "Channel order", "rgb, or bgr for networks trained on it.",
          flags=("--channel-order",), choices=_all(Color)),
    Field("preprocess.scale", "Pixel scale", "Factor for pixels before mean and std. `1/255` "
          "(default): scale to [0, 1]. `1`: keep 0 to 255.", flags=("--scale",)),
    Field("preprocess.mean", "Mean", "One number per channel, e.g. `0.5,0.5,0.5`, of scaled "
          "pixels: 0 to 1, or 0 to 255 with pixel scale 1.", flags=("--mean",)),
    Field("preprocess.std", "Std", "One number per channel, e.g. `0.5,0.5,0.5`, of scaled pixels.",
          flags=("--std",)),
    Field("background", "Background class", "Index of the output for the background class: 0 for "
          "TF-Hub networks (1001 outputs). Default: none.", flags=("--background",), minimum=0,
          maximum=MAX_CLASSES, depends_on=("model_id", ("onnx",))),
    Field("output", "Scores output", "Name of the output with the scores, for an ONNX file with "
          "several. Default: the one with the number of classes of the dataset.",
          flags=("--output",), depends_on=("model_id", ("onnx",))),
    Field("classes", "Classes of the dataset", derived=True),
    Field("format", "Export format", "onnx or torchscript.", flags=("--format",),
          choices=_all(ExportFormat)),
    Field("via", "Exporter", "torch, or paddle2onnx for a PaddleClas inference model (.pdiparams "
          "with its .pdmodel or .json in the same folder; needs `make setup-paddle`).",
          flags=("--exporter",), choices=_all(ExportRoute)),
)  # fmt: skip
FIELDS: dict[str, Field] = {field.name: field for field in _TABLE}
PREPROCESS_FIELDS = tuple(name for name in FIELDS if name.startswith("preprocess."))
"""The fields of a custom preprocessing, by their names in the table."""


def _defaults() -> Iterator[tuple[str, Any]]:
    for prefix, model in (("", RunRequest), ("weights.", WeightsSpec)):
        for name, info in model.model_fields.items():
            default = None if info.is_required() else info.get_default(call_default_factory=True)
            yield f"{prefix}{name}", default
    for setting in fields(PreprocessSpec):
        assert setting.default is not MISSING
        yield f"preprocess.{setting.name}", setting.default


DEFAULTS: dict[str, Any] = dict(_defaults())


def request_facts(request: Mapping[str, Any]) -> dict[str, str]:
    """The configuration of a stored request as text by label.

    Holds the fields that are not the default, and those that are always shown. `request` is JSON of
    any version: missing fields have their default, unknown fields are shown under their own names.
    """
    # The default runtime is not in the JSON, as in requests of versions without a choice.
    defaults = {**RunRequest(model_id="").to_json(), "runtimes": [DEFAULT_RUNTIME]}
    if "runtime" in request:  # of versions with one runtime for all precisions
        others = {name: value for name, value in request.items() if name != "runtime"}
        request = {**others, "runtimes": [request["runtime"]]}
    facts: dict[str, str] = {}
    for name in [*filter(lambda name: "." not in name, FIELDS), *(set(request) - set(FIELDS))]:
        field = FIELDS.get(name, Field(name, name))
        value = request.get(name, defaults.get(name))
        if name == "other_models":
            facts |= _other_models_facts(request)
        elif name == "weights":
            facts |= _weights_facts(value or defaults["weights"])
        elif _differs(value, defaults.get(name)) or (
            field.always_shown and _applies(field, request, defaults)
        ):
            facts[field.label] = (
                format_preprocess(value) if isinstance(value, dict) else field.format_value(value)
            )
    return facts


def _differs(value: Any, default: Any) -> bool:
    """Requests of versions without sweeps hold one number where there is a list now."""
    return (value if not isinstance(default, list) or isinstance(value, list) else [value]) != (
        default
    )


def _applies(field: Field, request: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    if field.depends_on is None:
        return True
    parent, required_values = field.depends_on
    value = request.get(parent, defaults.get(parent))
    values = value if isinstance(value, list) else [value]
    return any(item in required_values for item in values) and _applies(
        FIELDS[parent], request, defaults
    )


def _weights_facts(weights: Mapping[str, Any]) -> dict[str, str]:
    """The file or the kind, and the digest, seed and key that are not the default."""
    facts = {"Weights": str(weights.get("path") or weights.get("kind"))}
    for part in ("sha256", "seed", "key"):
        field = FIELDS[f"weights.{part}"]
        if weights.get(part, field.default) != field.default:
            facts[field.label] = str(weights[part])
    return facts


def _other_models_facts(request: Mapping[str, Any]) -> dict[str, str]:
    """The further models, each with its weights where these are not the kind of the first ones."""
    first = (request.get("weights") or {}).get("kind", DEFAULTS["weights.kind"])
    described = []
    for model in request.get("other_models") or ():
        weights = model.get("weights") or {}
        kind = weights.get("kind", DEFAULTS["weights.kind"])
        source = weights.get("path") or (kind if kind != first else None)
        described.append(f"{model.get('model_id')} ({source})" if source else model.get("model_id"))
    return {FIELDS["other_models"].label: ", ".join(map(str, described))} if described else {}


def format_preprocess(preprocess: Mapping[str, Any]) -> str:
    """A preprocessing as text: `vendor`, or each of its settings."""
    if preprocess == VENDOR.to_dict():
        return "vendor"
    parts = []
    for name, value in preprocess.items():
        field = FIELDS.get(f"preprocess.{name}", Field(name, name))
        if name == "scale":
            text = format_scale(value)
        else:
            text = "none" if value is None else field.format_value(value)
        parts.append(f"{field.label} {text}")
    return "; ".join(parts)


def format_number(value: Any) -> str:
    """A number with all its digits and no more: `30`, `0.485`; any other value as it is."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def format_scale(scale: float) -> str:
    """`1/255` for the usual pixel scale, which has no exact decimal form; else the number."""
    return "1/255" if scale == PIXEL_SCALE else format_number(scale)


def parse_number(name: str, text: str) -> float:
    """A number, or a fraction such as 1/255. Raises InvalidRequest that names the field."""
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise InvalidRequest(
            f"{name} must be a number, such as 1 or 1/255, not {text[:40]!r}."
        ) from error


def parse_channel_values(name: str, text: str) -> list[float]:
    """`0.485 0.456 0.406`, with commas or spaces. Raises InvalidRequest that names the field."""
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != 3:
        raise InvalidRequest(
            f"{name} must be three numbers, one per channel, such as 0.5,0.5,0.5, not "
            f"{text[:40]!r}."
        )
    return values


def parse_layer_indices(name: str, text: str) -> tuple[int, ...]:
    """`0, 4` with commas or spaces; sorted, without duplicates. Raises InvalidRequest."""
    words = text.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InvalidRequest(f"{name} must be indices from 0, such as 0,4, not {text[:40]!r}.")
    return tuple(sorted({int(word) for word in words}))

"""The keys of the two schemas of build files, and what each of them means here.

Counts behind the choice: 76 files of today's schema and 60 of the old one were surveyed; every key
and value found in them is read, named as of no effect, or refused with what is allowed. The key
weights_key beside checkpoint is the workbench's own: which of several sets of weights in a file.
"""

from __future__ import annotations

from collections.abc import Mapping

from db.enums import Precision
from engine.specs import CalibrationMode
from engine.vacc.build_keys import (
    ANY,
    Draft,
    Keys,
    Rule,
    choice,
    dotted,
    no_effect,
    text,
    whole,
    wrong,
)
from engine.vacc.yaml_text import Entry

MOST_LAYERS = 10_000
_MODES = {str(mode): mode for mode in CalibrationMode}
_PRECISIONS = {str(precision): precision for precision in Precision}
_STAYS_INTEGER = "is not offered here: those layers are quantized like all others."


def _input_shape(draft: Draft, keys: Keys, entry: Entry) -> None:
    shape = entry.plain()
    fits = (
        isinstance(shape, list)
        and len(shape) == 4
        and all(type(side) is int for side in shape)
        and shape[1] == 3
        and shape[2] == shape[3]
        and 1 <= shape[2] <= 4096
    )
    if not fits:
        raise wrong(draft, keys, entry, "[1, 3, side, side], one square color image")
    if draft.shape:
        raise wrong(draft, keys, entry, f"one input only ({draft.input_name} is the first)")
    draft.input_name, draft.shape = keys[-1], tuple(shape)


def _percent(draft: Draft, keys: Keys, entry: Entry) -> None:
    value = entry.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.5 < value <= 1:
        raise wrong(draft, keys, entry, "a share above 0.5 and at most 1, such as 0.99999")
    draft.percentile = 100 * value


def _indices(draft: Draft, keys: Keys, entry: Entry) -> None:
    value = entry.plain()
    items = value if isinstance(value, list) else [value]
    if not all(type(item) is int and 0 <= item < MOST_LAYERS for item in items):
        raise wrong(draft, keys, entry, "a list of convolutions, counted from 0 in graph order")
    draft.keep_in_float = tuple(sorted(set(items)))


def _per_channel(draft: Draft, keys: Keys, entry: Entry) -> None:
    if type(entry.value) is not bool:
        raise wrong(draft, keys, entry, "true, false")
    draft.per_channel = entry.value
    if not entry.value:
        draft.warnings.append(
            f"{draft.file}, line {entry.line}: {dotted(keys)} is false; int8 weights are always "
            f"by channel here, which loses less accuracy."
        )


def _ops(draft: Draft, keys: Keys, entry: Entry) -> None:
    if not isinstance(entry.value, list):
        raise wrong(draft, keys, entry, "a list of operations, each with its type")
    draft.ops = entry.value


def _debug_is_int8(draft: Draft, keys: Keys, entry: Entry) -> None:
    known = choice(
        "precision",
        {
            True: Precision.INT8,
            False: Precision.FP16,
            "fp16": Precision.FP16,
            "int8": Precision.INT8,
            "debug": Precision.INT8,
        },
        "true (int8), false or fp16, debug",
    )
    assert known.apply is not None
    known.apply(draft, keys, entry)
    if entry.value == "debug":
        draft.warnings.append(
            f"{draft.file}, line {entry.line}: {dotted(keys)} is debug; int8 is built."
        )


_DATASET: dict[Keys, Rule] = {
    ("dataset", "type"): no_effect("has no effect here: images are read by the workbench."),
    ("dataset", "path"): text("dataset"),
    ("dataset", "sampler", "suffix"): text("suffix"),
    ("dataset", "sampler", "get_data_num"): whole("images", 1, 50_000),
}
_SOFTMAX = choice("softmax", {"softmax": True, None: False}, "softmax, null")
_NEW_QUANTIZE = (
    "overflow_adaptive",
    "calibrate_chunk_by",
    "quantize_dsp_ops",
    "quantize_mode",
    "weight_scale",
    "requant_suppress",
    "output_ddr",
    "stream_mode",
    "dense_special_config",
    "nearest_interpol_on_dsp",
)
_NEW: dict[Keys, Rule] = {
    ("name",): text("name"),
    ("frontend", "type"): choice(
        "frontend",
        {"onnx": "onnx", "pytorch": "pytorch"},
        "onnx, pytorch (bring models of other frameworks as ONNX)",
    ),
    ("frontend", "checkpoint"): text("checkpoint"),
    ("frontend", "weights_key"): text("weights_key"),
    ("frontend", "dtype"): choice("dtype", {"fp32": "fp32"}),
    ("frontend", "shape", ANY): Rule(_input_shape, "shape"),
    ("backend", "type"): no_effect(),
    ("backend", "dtype"): choice("precision", _PRECISIONS),
    ("backend", "compile", ANY): no_effect(),
    ("backend", "quantize", "calibrate_mode"): choice("mode", _MODES),
    ("backend", "quantize", "calibrate_range"): Rule(_percent, "percentile"),
    ("backend", "quantize", "quantize_per_channel"): Rule(_per_channel, "per_channel"),
    ("backend", "quantize", "skip_conv_layers"): Rule(_indices, "keep_in_float"),
    **{("backend", "quantize", name): no_effect() for name in _NEW_QUANTIZE},
    **{
        ("backend", "quantize", name): no_effect(_STAYS_INTEGER)
        for name in ("skip_matmul_layers", "exclude_layers", "ops_usingfp", "quantize_operators")
    },
    ("graph", "extra_ops", "type"): _SOFTMAX,
    **_DATASET,
    ("dataset", "process_ops"): Rule(_ops, "ops"),
    ("workspace", "path"): text("workspace"),
    ("workspace", "env_recheck"): no_effect(),
}
_OLD: dict[Keys, Rule] = {
    ("model", "name"): text("name"),
    ("model", "checkpoint"): text("checkpoint"),
    ("model", "weights_key"): text("weights_key"),
    ("model", "inputs", ANY): Rule(_input_shape, "shape"),
    ("engine", "type"): no_effect(),
    ("engine", "common", "do_quantization"): Rule(_debug_is_int8, "precision"),
    ("engine", "common", ANY): no_effect(),
    ("engine", "add_extra_ops_to_graph", "type"): _SOFTMAX,
    ("engine", "calibration", "quant_mode"): choice("mode", _MODES),
    ("engine", "calibration", "per_channel"): Rule(_per_channel, "per_channel"),
    ("engine", "calibration", "skip_conv_layers"): Rule(_indices, "keep_in_float"),
    ("engine", "calibration", "ops_usingfp"): no_effect(_STAYS_INTEGER),
    **_DATASET,
    ("dataset", "transform_ops"): Rule(_ops, "ops"),
    ("workspace", "work_dir"): text("workspace"),
    ("workspace", "enable_ir"): no_effect(),
    ("workspace", "save_log"): no_effect(),
}
SCHEMAS: Mapping[str, Mapping[Keys, Rule]] = {"frontend/backend": _NEW, "model/engine": _OLD}

"""The keys of the two schemas of build files, and the rule of each.

Based on 76 files of the current schema and 60 of the old one: every key and value in them is read,
listed as ignored, or rejected with the allowed values. The key weights_key beside checkpoint is an
extension of the workbench: it selects one of several sets of weights in a file.
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
    choice_key,
    dotted_name,
    ignored_key,
    int_key,
    invalid_value,
    text_key,
)
from engine.vacc.yaml_text import Entry

MAX_LAYERS = 10_000
_MODES = {str(mode): mode for mode in CalibrationMode}
_PRECISIONS = {str(precision): precision for precision in Precision}
_ALWAYS_QUANTIZED = "is not supported here: those layers are quantized like all others."


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
        raise invalid_value(draft, keys, entry, "[1, 3, side, side], one square RGB image")
    if draft.shape:
        raise invalid_value(draft, keys, entry, f"a single input ({draft.input_name} is the first)")
    draft.input_name, draft.shape = keys[-1], tuple(shape)


def _percentile(draft: Draft, keys: Keys, entry: Entry) -> None:
    value = entry.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.5 < value <= 1:
        raise invalid_value(
            draft, keys, entry, "a fraction above 0.5 and at most 1, such as 0.99999"
        )
    draft.percentile = 100 * value


def _layer_indices(draft: Draft, keys: Keys, entry: Entry) -> None:
    value = entry.plain()
    items = value if isinstance(value, list) else [value]
    if not all(type(item) is int and 0 <= item < MAX_LAYERS for item in items):
        raise invalid_value(
            draft, keys, entry, "a list of convolution indices, from 0, in graph order"
        )
    draft.keep_in_float = tuple(sorted(set(items)))


def _per_channel(draft: Draft, keys: Keys, entry: Entry) -> None:
    if type(entry.value) is not bool:
        raise invalid_value(draft, keys, entry, "true, false")
    draft.per_channel = entry.value
    if not entry.value:
        draft.warnings.append(
            f"{draft.file}, line {entry.line}: {dotted_name(keys)} is false; int8 weights are "
            f"always quantized per channel here, which loses less accuracy."
        )


def _process_ops(draft: Draft, keys: Keys, entry: Entry) -> None:
    if not isinstance(entry.value, list):
        raise invalid_value(draft, keys, entry, "a list of operations, each with its type")
    draft.ops = entry.value


def _quantization_flag(draft: Draft, keys: Keys, entry: Entry) -> None:
    rule = choice_key(
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
    assert rule.apply is not None
    rule.apply(draft, keys, entry)
    if entry.value == "debug":
        draft.warnings.append(
            f"{draft.file}, line {entry.line}: {dotted_name(keys)} is debug; it is built in int8."
        )


_DATASET: dict[Keys, Rule] = {
    ("dataset", "type"): ignored_key("has no effect here: the workbench reads the images."),
    ("dataset", "path"): text_key("dataset"),
    ("dataset", "sampler", "suffix"): text_key("suffix"),
    ("dataset", "sampler", "get_data_num"): int_key("images", 1, 50_000),
}
_SOFTMAX = choice_key("softmax", {"softmax": True, None: False}, "softmax, null")
_IGNORED_QUANTIZE_KEYS = (
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
    ("name",): text_key("name"),
    ("frontend", "type"): choice_key(
        "frontend",
        {"onnx": "onnx", "pytorch": "pytorch"},
        "onnx, pytorch (export models of other frameworks to ONNX)",
    ),
    ("frontend", "checkpoint"): text_key("checkpoint"),
    ("frontend", "weights_key"): text_key("weights_key"),
    ("frontend", "dtype"): choice_key("dtype", {"fp32": "fp32"}),
    ("frontend", "shape", ANY): Rule(_input_shape, "shape"),
    ("backend", "type"): ignored_key(),
    ("backend", "dtype"): choice_key("precision", _PRECISIONS),
    ("backend", "compile", ANY): ignored_key(),
    ("backend", "quantize", "calibrate_mode"): choice_key("mode", _MODES),
    ("backend", "quantize", "calibrate_range"): Rule(_percentile, "percentile"),
    ("backend", "quantize", "quantize_per_channel"): Rule(_per_channel, "per_channel"),
    ("backend", "quantize", "skip_conv_layers"): Rule(_layer_indices, "keep_in_float"),
    **{("backend", "quantize", name): ignored_key() for name in _IGNORED_QUANTIZE_KEYS},
    **{
        ("backend", "quantize", name): ignored_key(_ALWAYS_QUANTIZED)
        for name in ("skip_matmul_layers", "exclude_layers", "ops_usingfp", "quantize_operators")
    },
    ("graph", "extra_ops", "type"): _SOFTMAX,
    **_DATASET,
    ("dataset", "process_ops"): Rule(_process_ops, "ops"),
    ("workspace", "path"): text_key("workspace"),
    ("workspace", "env_recheck"): ignored_key(),
}
_OLD: dict[Keys, Rule] = {
    ("model", "name"): text_key("name"),
    ("model", "checkpoint"): text_key("checkpoint"),
    ("model", "weights_key"): text_key("weights_key"),
    ("model", "inputs", ANY): Rule(_input_shape, "shape"),
    ("engine", "type"): ignored_key(),
    ("engine", "common", "do_quantization"): Rule(_quantization_flag, "precision"),
    ("engine", "common", ANY): ignored_key(),
    ("engine", "add_extra_ops_to_graph", "type"): _SOFTMAX,
    ("engine", "calibration", "quant_mode"): choice_key("mode", _MODES),
    ("engine", "calibration", "per_channel"): Rule(_per_channel, "per_channel"),
    ("engine", "calibration", "skip_conv_layers"): Rule(_layer_indices, "keep_in_float"),
    ("engine", "calibration", "ops_usingfp"): ignored_key(_ALWAYS_QUANTIZED),
    **_DATASET,
    ("dataset", "transform_ops"): Rule(_process_ops, "ops"),
    ("workspace", "work_dir"): text_key("workspace"),
    ("workspace", "enable_ir"): ignored_key(),
    ("workspace", "save_log"): ignored_key(),
}
SCHEMAS: Mapping[str, Mapping[Keys, Rule]] = {"frontend/backend": _NEW, "model/engine": _OLD}

"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from db.enums import Precision
from engine.common.untrusted import MAX_INTEGER
from engine.errors import InvalidRequest
from engine.preprocess.protocols import Protocol
from engine.runs.fields import FIELDS
from engine.specs import (
    BiasCorrection,
    CalibrationMode,
    ExportFormat,
    ExportRoute,
    Scenario,
    TargetName,
)
from engine.text import cut, quoted

RENAMED_OPTIONS: dict[str, tuple[str, ...]] = {
    "--again": ("--ignore-cached",),
    "--anyway": ("--ignore-preprocessing",),
    "--arrivals-seed": ("--arrival-seed",),
    "--batches": ("--batch",),
    "--calibrate": ("--calibration-method",),
    "--calibrate-on": ("--calibration-dataset",),
    "--color": ("--channel-order",),
    "--instances": ("--concurrency",),
    "--keep-in-float": ("--exclude-layers",),
    "--latency-limit": ("--max-latency",),
    "--limit": ("--max-images",),
    "--max-drop": ("--max-accuracy-drop",),
    "--max-seconds": ("--max-duration",),
    "--most": ("--limit",),
    "--per-class": ("--images-per-class",),
    "--percentile": ("--calibration-percentile", "--latency-percentile"),
    "--rate": ("--arrival-rate",),
    "--resizer": ("--resize-library",),
    "--via": ("--exporter",),
}
"""Option names of earlier versions, which still work, with the present names."""


def with_current_names(arguments: list[str], options: Collection[str]) -> list[str]:
    """Arguments of a command with earlier option names replaced; `options` are the command's own.

    A name that the command itself has keeps its meaning, and so does everything after `--`.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    current = [_current_name(argument, options) for argument in arguments[:end]]
    return current + arguments[end:]


def _current_name(argument: str, options: Collection[str]) -> str:
    name, equals, value = argument.partition("=")
    if name in options:
        return argument
    renamed = (new for new in RENAMED_OPTIONS.get(name, ()) if new in options)
    return next(renamed, name) + equals + value


def option(name: str, *, more: str = "", bounded: bool = True, **settings: Any) -> Any:
    """The option of a request field: names, bounds and help come from the table of fields."""
    field = FIELDS[name]
    if bounded and "parser" not in settings:
        settings |= {"min": field.minimum, "max": field.maximum}
    unit = f"Unit: {field.unit}." if field.unit else ""
    parts = (field.help or f"{field.label}.", more, unit)
    return typer.Option(*field.flags, help=" ".join(filter(None, parts)), **settings)


class IntList(tuple[int, ...]):
    """Integers as typed on the command line: `8`, or `1,2,4`."""


def int_list_parser(least: int, most: int) -> Callable[[str], IntList]:
    """A parser of IntList with bounds; it raises typer.BadParameter for any other text."""

    def parse(text: str) -> IntList:
        words = [word.strip() for word in text.split(",")]
        digits = [word for word in words if word.isascii() and word.isdigit() and len(word) < 20]
        values = IntList(int(word) for word in digits)
        if len(values) < len(words) or not all(least <= number <= most for number in values):
            raise typer.BadParameter(
                f"{quoted(text)} is not a list of integers from {least} to {most:,}, such as 1,2,4."
            )
        return values

    return parse


def int_list_option(name: str) -> Any:
    """The option of a request field that holds several integers, each within the bounds."""
    field = FIELDS[name]
    parser = int_list_parser(int(field.minimum or 0), int(field.maximum or MAX_INTEGER))
    more = "For several values give a list, such as `1,2,4`, or repeat the option."
    return option(name, more=more, parser=parser, metavar="N[,N]")


def merge_values(given: list[IntList] | None, name: str) -> tuple[int, ...]:
    """All values given for an option, without duplicates, in order; else the field's default."""
    values = tuple(dict.fromkeys(number for part in given or [] for number in part))
    return values or tuple(FIELDS[name].default)


def row_id_parser(what: str, hint: str) -> Callable[[str], int]:
    """A parser of a row's number; it raises InvalidRequest with `hint` for any other text."""

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) < 20
        if not digits or not 0 < int(text) <= MAX_INTEGER:
            raise InvalidRequest(f"There is no {what} {cut(text)}; {hint}.")
        return int(text)

    return parse


class ColumnPair(tuple[str, str]):
    """The column of the image and the column of the class, by heading or by number from 1."""


def parse_column_pair(text: str) -> ColumnPair:
    """Parses `IMAGE,CLASS`; raises typer.BadParameter for any other text."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or not all(words):
        raise typer.BadParameter(f"{text!r} is not two columns, such as `filename,class_id`.")
    return ColumnPair(words)


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout instead of tables.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Queue the jobs and return without waiting for them.")
]
ModelId = Annotated[str, typer.Argument(help=FIELDS["model_id"].help)]
ModelIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Models: `timm/seresnet50`, `mmcls/seresnet101`, `ppcls/senet154`, any `timm/<name>`, "
        "or ONNX files. One that fails does not stop the others.",
    ),
]
WholeCatalog = Annotated[
    bool, typer.Option("--catalog", help="All models of the catalog, in addition to MODEL.")
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="All models of the catalog of a source: timm, mmcls or ppcls. Repeat the option for "
        "several.",
    ),
]
RunName = Annotated[str | None, option("name")]
RunNotes = Annotated[str | None, option("notes")]
RunHosts = Annotated[list[str] | None, option("hosts", more="Repeat the option for several.")]
RunTags = Annotated[list[str] | None, option("tags", more="Repeat the option for several.")]
Target = Annotated[
    str,
    typer.Argument(
        help="A model, such as `timm/seresnet50`, or the digest of an artifact (its first digits "
        "are enough; `artifacts list` shows them)."
    ),
]
EvaluationId = Annotated[
    int,
    typer.Argument(
        parser=row_id_parser("evaluation", "`evaluation list` shows them"),
        metavar="NUMBER",
        help="Number of an evaluation, as `evaluation list` shows it.",
    ),
]
RowLimit = Annotated[
    int,
    typer.Option("--limit", min=1, max=MAX_INTEGER, help="Maximum number of rows of each table."),
]

Weights = Annotated[str, option("weights")]
WeightsKey = Annotated[str | None, option("weights.key")]
Seed = Annotated[int, option("weights.seed")]
Precisions = Annotated[
    list[Precision] | None, option("precisions", more="Repeat the option for several.")
]
Softmax = Annotated[bool, option("softmax")]
BackgroundClass = Annotated[int | None, option("background")]
OutputName = Annotated[str | None, option("output")]
FormatName = Annotated[ExportFormat, option("format")]
Exporter = Annotated[ExportRoute, option("via")]

FilesDataset = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Dataset whose image files scenario end-to-end sends."),
]
CalibrationDataset = Annotated[str | None, option("calibration_dataset")]
CalibrationImages = Annotated[int, option("calibration_images")]
CalibrationMethod = Annotated[CalibrationMode, option("calibration_mode")]
CalibrationPercentile = Annotated[float, option("calibration_percentile")]
ExcludedLayers = Annotated[
    IntList | None,
    option("keep_in_float", parser=int_list_parser(0, MAX_INTEGER), metavar="N[,N]"),
]
MaxAccuracyDrop = Annotated[float | None, option("max_drop")]
Int8Target = Annotated[TargetName, option("target")]
BiasCorrections = Annotated[BiasCorrection, option("bias_correction")]

DatasetName = Annotated[str | None, option("dataset")]
MaxImages = Annotated[int | None, option("limit")]
BatchSizes = Annotated[list[IntList] | None, int_list_option("batches")]
Threads = Annotated[list[IntList] | None, int_list_option("threads")]
Concurrency = Annotated[list[IntList] | None, int_list_option("instances")]
ScenarioName = Annotated[Scenario, option("scenario")]
MaxLatency = Annotated[
    float | None,
    option("limit_ms", more="In closed loop: limit for the best operating point of a sweep."),
]
ArrivalRate = Annotated[float | None, option("rate_per_s")]
ArrivalSeed = Annotated[int, option("arrivals_seed")]
CompareFp32 = Annotated[bool, option("compare_fp32")]
IgnoreCached = Annotated[bool, option("again")]
Runtimes = Annotated[list[str] | None, option("runtimes", more="Repeat the option for several.")]
Provider = Annotated[str, option("provider")]
MaxDuration = Annotated[float, option("benchmark_max_s")]

ProtocolName = Annotated[Protocol | None, option("preprocess")]
PreprocessFile = Annotated[
    Path | None,
    typer.Option(
        "--preprocess",
        help='JSON file with the preprocessing, such as `{"resize": 256, "crop": 224}`.',
    ),
]
Resize = Annotated[int | None, option("preprocess.resize", bounded=False)]
Crop = Annotated[int | None, option("preprocess.crop", bounded=False)]
Interpolation = Annotated[str | None, option("preprocess.interpolation", bounded=False)]
ResizeLibrary = Annotated[str | None, option("preprocess.resizer", bounded=False)]
ResizeMode = Annotated[str | None, option("preprocess.resize_mode", bounded=False)]
Mean = Annotated[str | None, option("preprocess.mean", bounded=False)]
Std = Annotated[str | None, option("preprocess.std", bounded=False)]
ChannelOrder = Annotated[str | None, option("preprocess.color")]
Scale = Annotated[str | None, option("preprocess.scale", bounded=False)]

LabelColumns = Annotated[
    ColumnPair | None,
    typer.Option(
        "--label-columns",
        parser=parse_column_pair,
        metavar="IMAGE,CLASS",
        help="Columns of the label file that hold the image and the class, by heading or by "
        "number from 1, such as `filename,class_id`.",
    ),
]
LabelBase = Annotated[
    int | None,
    typer.Option(
        "--label-base",
        min=0,
        max=1,
        help="Number of the first class in the label file: 0 or 1. Default: read from the file, if "
        "the numbers are not ambiguous.",
    ),
]
ClassesFile = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        help="File with the classes in the order of the model's outputs: one name per line, or "
        'JSON such as `{"0": ["n01440764", "tench"]}`.',
    ),
]

"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from db.enums import Precision
from engine.common.untrusted import MAX_INTEGER
from engine.errors import InvalidRequest
from engine.preprocess.protocols import Protocol
from engine.runs.fields import FIELDS
from engine.runtimes.registry import is_choice
from engine.specs import CalibrationMode, ExportFormat, ExportRoute, Scenario, TargetName
from engine.text import cut, quoted


def option(name: str, *, more: str = "", bounded: bool = True, **settings: Any) -> Any:
    """The option of a field of a request: its flags, bounds and help are those of the table."""
    field = FIELDS[name]
    if bounded and "parser" not in settings:
        settings |= {"min": field.minimum, "max": field.maximum}
    told = " ".join(part for part in (field.help or f"{field.label}.", more) if part)
    return typer.Option(*field.flags, help=told, **settings)


class Numbers(tuple[int, ...]):
    """Whole numbers as a person writes them: `8`, or `1,2,4`."""


def numbers(least: int, most: int) -> Callable[[str], Numbers]:
    """Reads Numbers within bounds; anything else is a wrong call."""

    def read(text: str) -> Numbers:
        words = [word.strip() for word in text.split(",")]
        digits = [word for word in words if word.isascii() and word.isdigit() and len(word) < 20]
        found = Numbers(int(word) for word in digits)
        if len(found) < len(words) or not all(least <= number <= most for number in found):
            raise typer.BadParameter(
                f"{quoted(text)} is no list of numbers from {least} to {most:,}."
            )
        return found

    return read


def several(name: str) -> Any:
    """The option of a field that holds several numbers, each in its bounds."""
    field = FIELDS[name]
    parser = numbers(int(field.minimum or 0), int(field.maximum or MAX_INTEGER))
    more = "Several as `1,2,4` or by repeating it."
    return option(name, more=more, parser=parser, metavar="N[,N]")


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ModelId = Annotated[str, typer.Argument(help=FIELDS["model_id"].help)]
Target = Annotated[
    str, typer.Argument(help="A model such as `timm/seresnet50`, or the digest of an artifact.")
]
Weights = Annotated[str, option("weights")]
WeightsKey = Annotated[str | None, option("weights.key")]
Seed = Annotated[int, option("weights.seed")]
Precisions = Annotated[list[Precision] | None, option("precisions", more="Repeat for several.")]
DatasetName = Annotated[str | None, option("dataset")]
Limit = Annotated[int | None, option("limit")]
CalibrationSet = Annotated[str | None, option("calibration_dataset")]
CalibrationImages = Annotated[int, option("calibration_images")]
CalibrationWay = Annotated[CalibrationMode, option("calibration_mode")]
Percentile = Annotated[float, option("calibration_percentile")]
KeepInFloat = Annotated[
    Numbers | None, option("keep_in_float", parser=numbers(0, MAX_INTEGER), metavar="N[,N]")
]
MaxDrop = Annotated[float | None, option("max_drop")]
Int8Target = Annotated[TargetName, option("target")]


def row_number(what: str, way_out: str) -> Callable[[str], int]:
    """Reads the number of a row; InvalidRequest for what can be none, however long."""

    def read(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) < 20
        if not digits or not 0 < int(text) <= MAX_INTEGER:
            raise InvalidRequest(f"There is no {what} {cut(text)}; {way_out}.")
        return int(text)

    return read


def joined(given: list[Numbers] | None, name: str) -> tuple[int, ...]:
    """All that was given to an option, each number once, in order; else the field's default."""
    found = tuple(dict.fromkeys(number for some in given or [] for number in some))
    return found or tuple(FIELDS[name].default)


Batches = Annotated[list[Numbers] | None, several("batches")]
Threads = Annotated[list[Numbers] | None, several("threads")]
Instances = Annotated[list[Numbers] | None, several("instances")]
Softmax = Annotated[bool, option("softmax")]
AScenario = Annotated[Scenario, option("scenario")]
LatencyLimit = Annotated[
    float | None, option("limit_ms", more="Of a sweep: longest latency of the sweet spot.")
]
Rate = Annotated[float | None, option("rate_per_s")]
ArrivalsSeed = Annotated[int, option("arrivals_seed")]
Again = Annotated[bool, option("again")]
Runtime = Annotated[str, option("runtime", hidden=not is_choice())]
Provider = Annotated[str, option("provider")]
Seconds = Annotated[float, option("benchmark_max_s")]
Form = Annotated[ExportFormat, option("format")]
Via = Annotated[ExportRoute, option("via")]
ProtocolName = Annotated[Protocol | None, option("preprocess")]
PreprocessFile = Annotated[
    Path | None,
    typer.Option("--preprocess", help="JSON file that says how images are prepared."),
]
Resize = Annotated[int | None, option("preprocess.resize", bounded=False)]
Crop = Annotated[int | None, option("preprocess.crop", bounded=False)]
Interpolation = Annotated[str | None, option("preprocess.interpolation", bounded=False)]
Resizer = Annotated[str | None, option("preprocess.resizer", bounded=False)]
ResizeMode = Annotated[str | None, option("preprocess.resize_mode", bounded=False)]
Mean = Annotated[str | None, option("preprocess.mean", bounded=False)]
Std = Annotated[str | None, option("preprocess.std", bounded=False)]
Color = Annotated[str | None, option("preprocess.color")]
Scale = Annotated[str | None, option("preprocess.scale", bounded=False)]
Background = Annotated[int | None, option("background")]
EvaluationId = Annotated[
    int,
    typer.Argument(
        parser=row_number("evaluation", "`evaluation list` shows them"),
        metavar="NUMBER",
        help="Number of an evaluation (`evaluation list`).",
    ),
]
Most = Annotated[
    int, typer.Option("--most", min=1, max=MAX_INTEGER, help="So many rows of each list.")
]
Output = Annotated[str | None, option("output")]


class Columns(tuple[str, str]):
    """The column of images and that of classes."""


def read_columns(text: str) -> Columns:
    """Reads Columns; anything else is a wrong call."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or not all(words):
        raise typer.BadParameter(f"{text!r} is not two columns, such as `filename,class_id`.")
    return Columns(words)


LabelColumns = Annotated[
    Columns | None,
    typer.Option(
        "--label-columns",
        parser=read_columns,
        metavar="IMAGE,CLASS",
        help="Columns of the label file with the image and with the class, by heading or by "
        "number from 1.",
    ),
]
LabelBase = Annotated[
    int | None,
    typer.Option("--label-base", min=0, max=1, help="Whether numbers of classes begin at 0 or 1."),
]
ClassesFile = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        help="The classes in the order of the network's outputs: a name a line, or JSON such as "
        '`{"0": ["n01440764", "tench"]}`.',
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Queue and return; do not wait.")]

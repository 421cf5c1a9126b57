"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from db.enums import Precision
from engine.common.untrusted import MAX_CLASSES, MAX_INTEGER
from engine.errors import InvalidRequest
from engine.preprocess.protocols import Protocol
from engine.specs import CalibrationMode, ExportFormat, ExportRoute, TargetName
from engine.text import cut, quoted

MOST_SECONDS = 86_400

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ModelId = Annotated[
    str,
    typer.Argument(
        help="A model: `timm/seresnet50`, `mmcls/seresnet101`, `ppcls/senet154`, any "
        "`timm/<name>`, or `onnx/<name>` with --weights FILE."
    ),
]
Target = Annotated[
    str, typer.Argument(help="A model such as `timm/seresnet50`, or the digest of an artifact.")
]
Weights = Annotated[
    str,
    typer.Option(
        help="`pretrained`, `random` (speed only), or a file (.pth, .safetensors, .pdparams, "
        ".pdiparams, .onnx)."
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        "--weights-key",
        help="Which of several sets of weights in a file, such as `state_dict_ema`, `model_ema` or "
        "`ema`; without it the weights themselves are taken before averages of them.",
    ),
]
Seed = Annotated[
    int, typer.Option(min=-MAX_INTEGER, max=MAX_INTEGER, help="Seed of random weights.")
]
Precisions = Annotated[
    list[Precision] | None,
    typer.Option(
        "--precision", "-p", help="fp32, fp16 or int8; repeat for several. All if left out."
    ),
]
DatasetName = Annotated[
    str | None, typer.Option("--dataset", "-d", help="A registered dataset to evaluate on.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_INTEGER, help="Evaluate on so many images only, drawn evenly by class."
    ),
]
CalibrationSet = Annotated[
    str | None, typer.Option("--calibrate-on", help="Dataset that int8 ranges are taken from.")
]
CalibrationImages = Annotated[
    int, typer.Option(min=1, max=50_000, help="Images to calibrate int8 on.")
]
CalibrationWay = Annotated[
    CalibrationMode,
    typer.Option("--calibrate", help="How int8 ranges are taken from the values seen."),
]
Percentile = Annotated[
    float, typer.Option(min=50, max=100, help="Share of values kept by --calibrate percentile.")
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=100,
        help="Points of top-1 that int8 may lose against fp32: as few layers as needed go back to "
        "float, judged on images of the calibration set that ranges were not taken from.",
    ),
]
Int8Target = Annotated[
    TargetName,
    typer.Option(
        "--target",
        help="What int8 is made for: x86-vnni (u8 x s8), x86 (the same without VNNI), "
        "arm (s8 x s8), tensorrt (s8 x s8, no zero points); auto: this processor, or TensorRT "
        "with its provider.",
    ),
]


def row_number(what: str, way_out: str) -> Callable[[str], int]:
    """Reads the number of a row; InvalidRequest for what can be none, however long."""

    def read(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) < 20
        if not digits or not 0 < int(text) <= MAX_INTEGER:
            raise InvalidRequest(f"There is no {what} {cut(text)}; {way_out}.")
        return int(text)

    return read


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


def joined(given: list[Numbers] | None, usual: int) -> tuple[int, ...]:
    """All that was given to an option, each number once, in order; else the usual one."""
    return tuple(dict.fromkeys(number for some in given or [] for number in some)) or (usual,)


Batches = Annotated[
    list[Numbers] | None,
    typer.Option(
        "--batch",
        "--batches",
        "-b",
        parser=numbers(1, 4096),
        metavar="N[,N]",
        help="Batch size of the benchmark; several as `1,2,4` or by repeating it. 1 if left out.",
    ),
]
Threads = Annotated[
    list[Numbers] | None,
    typer.Option(
        "--threads",
        "-t",
        parser=numbers(0, 1024),
        metavar="N[,N]",
        help="Threads of an instance, or several; 0 (if left out): all cores, shared out.",
    ),
]
Instances = Annotated[
    list[Numbers] | None,
    typer.Option(
        "--instances",
        "-i",
        parser=numbers(1, 256),
        metavar="N[,N]",
        help="Requests in flight, or several. 1 if left out.",
    ),
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Measure points of a sweep anew that were measured before."),
]
Provider = Annotated[str, typer.Option(help="ONNX Runtime execution provider.")]
Seconds = Annotated[
    float,
    typer.Option("--max-seconds", min=1, max=MOST_SECONDS, help="Longest time of a benchmark."),
]
Form = Annotated[ExportFormat, typer.Option("--format", help="onnx or torchscript.")]
Via = Annotated[
    ExportRoute,
    typer.Option(
        help="torch, or paddle2onnx for a PaddleClas inference model (.pdiparams with its .pdmodel "
        "or .json beside it; needs `make setup-paddle`)."
    ),
]
ProtocolName = Annotated[
    Protocol | None,
    typer.Option(
        help="How images are prepared: `published` (as the model's figures were made), `vendor` "
        "(squashed to 256 x 256, crop 224, OpenCV), or `custom` (the options below; what they "
        "leave out is as published)."
    ),
]
PreprocessFile = Annotated[
    Path | None,
    typer.Option("--preprocess", help="JSON file that says how images are prepared."),
]
Resize = Annotated[int | None, typer.Option(help="Short side after resizing, in pixels.")]
Crop = Annotated[
    int | None,
    typer.Option(help="Side of the center crop, in pixels; without --resize, that grows with it."),
]
Interpolation = Annotated[str | None, typer.Option(help="bilinear or bicubic.")]
Resizer = Annotated[
    str | None, typer.Option(help="pillow (smooths while shrinking) or opencv (does not).")
]
ResizeMode = Annotated[
    str | None, typer.Option(help="short_side (keeps the aspect ratio) or squash.")
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="Mean by channel, e.g. `0.5,0.5,0.5`; with --std. Of pixels from 0 to 1, or with "
        "--scale 1 from 0 to 255."
    ),
]
Std = Annotated[str | None, typer.Option(help="Deviation by channel, e.g. `0.5,0.5,0.5`.")]
Scale = Annotated[
    str | None,
    typer.Option(
        help="What pixels are multiplied by before mean and std: `1/255` (the usual one), or `1` "
        "for a network that takes pixels from 0 to 255."
    ),
]
Background = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_CLASSES,
        help="Index of the output that is no class (0 for TF-Hub networks).",
    ),
]
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
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        help="Output that holds the scores, of an ONNX file of several; if left out, the one with "
        "the dataset's number of classes.",
    ),
]


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

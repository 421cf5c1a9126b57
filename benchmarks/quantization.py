"""What int8 and fp16 builds cost and bring, against the bars and against other tools, in one run.

    python -m benchmarks.quantization REAL_DATA
    python -m benchmarks.quantization REAL_DATA --parts accuracy --bounded --peers onnxruntime nncf
    python -m benchmarks.quantization REAL_DATA --parts speed --speed-models timm/seresnet50
    python -m benchmarks.quantization IMAGES_AND_MORE --images FOLDER --model timm/x=FILE

REAL_DATA is the folder of photographs and weights that SENET_REAL_DATA names. Three parts, which
can be run alone:

calibration  memory and time of calibration (benchmarks/calibration.py).
accuracy     top-1 of each build: calibrated (and searched) on one half of the images, scored on the
             other, then the other way round, so that every image is scored once, by a build that
             never saw it. The difference to fp32 is paired, with its 95 % interval. Peers are
             calibrated on the same images.
speed        int8 over fp32 in ONNX Runtime, and the same int8 file in OpenVINO where installed;
             what is compared runs in turn, round by round, so that ratios hold on a noisy machine.

Peers: onnxruntime (its quantize_static, u8 x s8 by channel), nncf and openvino, where installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PARTS = ("calibration", "accuracy", "speed")
MODES = ("max", "percentile", "kl_divergence", "mse")
PEERS = ("onnxruntime", "nncf", "openvino")
Table = list[dict[str, Any]]


def main() -> None:
    """Runs what was asked for and prints its tables, then one JSON document."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENET_HOME"] = str(options.home or folder)
        os.environ.setdefault("SENET_HOST_LOCK", str(Path(folder) / "host.lock"))
        from benchmarks.quantization_setup import Bench

        bench = Bench(options, Path(folder))
        report = {part: _RUN[part](bench) for part in options.parts}
    for part, table in report.items():
        show(part, table)
    print(json.dumps(report))


def arguments() -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("real_data", type=Path, help="folder of photographs and weights")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all if left out")
    add("--images", type=Path, help="labeled images; REAL_DATA/imagenet_1000 if left out")
    add(
        "--model",
        action="append",
        metavar="ID=FILE",
        help="a model and its weights, repeated for several; the SE network and SqueezeNet of "
        "REAL_DATA if left out. Append @0,0,0/1,1,1 for mean and deviation of an ONNX file.",
    )
    add("--precisions", nargs="+", default=["fp32", "fp16", "int8"])
    add("--modes", nargs="*", default=list(MODES), help="how int8 ranges are taken; none: only mse")
    add("--targets", nargs="*", default=[], help="int8 for other targets too: x86 arm tensorrt")
    add("--bounded", action="store_true", help="also the build with --max-accuracy-drop 1.0")
    add("--max-drop", type=float, default=1.0, help="points of top-1 of the bounded build")
    add("--calibration-images", type=int, default=300)
    add("--peers", nargs="*", choices=PEERS, default=[], help="other tools to hold against")
    add("--speed-models", nargs="*", default=["timm/seresnet50"], help="with random weights")
    add("--batches", nargs="+", type=int, default=[1, 8])
    add("--rounds", type=int, default=5, help="rounds of the speeds; the median of them counts")
    add("--home", type=Path, help="keep exports and builds here between calls")
    return parser.parse_args()


def calibration_part(bench: Any) -> Table:
    """Memory and time of calibration, as measured by a benchmark of its own."""
    if importlib.util.find_spec("benchmarks.calibration") is None:
        return [{"what": "calibration", "note": "benchmarks/calibration.py is not here"}]
    from benchmarks import calibration  # type: ignore[attr-defined]

    return list(calibration.measure(bench.options.real_data))


def accuracy_part(bench: Any) -> Table:
    """Every build of every model, scored on images that it was not made with."""
    from benchmarks.quantization_accuracy import accuracy_of

    return [row for model in bench.models for row in accuracy_of(bench, model)]


def speed_part(bench: Any) -> Table:
    """Ratios of speed, model by model and batch by batch."""
    from benchmarks.quantization_speed import speeds_of

    return [row for model in bench.speed_models for row in speeds_of(bench, model)]


_RUN = {"calibration": calibration_part, "accuracy": accuracy_part, "speed": speed_part}


def say(text: str) -> None:
    """A line of progress, which does not stand between the tables."""
    print(text, file=sys.stderr, flush=True)


def show(part: str, table: Table) -> None:
    """One table, in Markdown."""
    columns = list(dict.fromkeys(name for row in table for name in row))
    print(f"\n## {part}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in table:
        print(f"| {' | '.join(_cell(row.get(name)) for name in columns)} |")
    print()


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()

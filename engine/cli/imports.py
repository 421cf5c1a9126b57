"""`import`: evaluations and benchmarks of other machines and tools, marked as imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from db.enums import Precision
from db.models import Evaluation
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.evaluation import counts_document
from engine.cli.option_groups import expand_groups
from engine.cli.output import emit_json, note
from engine.cli.parsing import read_json_object, read_preprocess
from engine.common.untrusted import MAX_INTEGER
from engine.preprocess import PreprocessSpec, require_one_scale
from engine.store.database import prepare_database

app = typer.Typer(no_args_is_help=True)
Model = Annotated[
    str, typer.Option("--model", "-m", help="The model that was measured, e.g. timm/seresnet50.")
]
OnePrecision = Annotated[
    Precision, typer.Option("--precision", "-p", help="Precision that was measured.")
]
Source = Annotated[
    str, typer.Option(help="Origin of the result, shown with it: device, tool, version.")
]
Predictions = Annotated[
    Path,
    typer.Argument(
        help="A .npz, .npy, .csv or .parquet file with `top5` (class indices, best first; in a CSV "
        "the columns top1 to top5) or `scores` (one per class), and optionally `image` (file name) "
        "and `label` (class index)."
    ),
]
DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset",
        "-d",
        help="A registered dataset, or a name for images that are not on this machine.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Label file of images that are not registered, in the format of `dataset add`."
    ),
]
ImagesPerClass = Annotated[
    int | None,
    typer.Option(
        "--images-per-class",
        min=1,
        max=MAX_INTEGER,
        help="For images that are not registered and are sorted by class: number per class, such "
        "as 50 for ImageNet.",
    ),
]
Environment = Annotated[
    Path | None,
    typer.Option(help="JSON file with facts of the machine: device, runtime, driver, …"),
]


@app.command("evaluation")
@expand_groups
def evaluation(
    file: Predictions,
    model: Model,
    precision: OnePrecision,
    source: Source,
    dataset: DatasetName,
    labels: Labels = None,
    *,
    labeling: g.LabelOptions,
    images_per_class: ImagesPerClass = None,
    background: o.BackgroundClass = None,
    preprocess: o.PreprocessFile = None,
    environment: Environment = None,
    json: o.Json = False,
) -> None:
    """Imports predictions of another machine as an evaluation.

    Accuracy is computed here from the predictions and the labels, per image.

    Example: `python -m engine import evaluation top5.npz -m timm/legacy_senet154 -p fp32
    --source 'card X, driver 1.2' -d imagenet-val`
    """
    from engine.imports.evaluation import OutsideEvaluation, import_evaluation

    settings = read_preprocess(preprocess)
    outside = OutsideEvaluation(
        file=file,
        model_id=model,
        precision=precision,
        source=source,
        dataset=dataset,
        labels=labeling.labeling_of(labels),
        per_class=images_per_class,
        background=background,
        preprocess=require_one_scale(PreprocessSpec.from_dict(settings)) if settings else None,
        environment=read_json_object(environment) if environment else None,
    )
    row, is_repeated = import_evaluation(outside, prepare_database())
    if json:
        emit_json({"known": is_repeated, **counts_document(row)})
        return
    again = " It was imported before." if is_repeated else ""
    note(
        f"Evaluation {row.id}: {model} {precision}, {row.images:,} images of {row.dataset_name}, "
        f"{_accuracy_text(row)}, imported.{again}"
    )


def _accuracy_text(row: Evaluation) -> str:
    counts = (("top-1", row.top1_count), ("top-5", row.top5_count))
    return (
        ", ".join(
            f"{n} {100 * count / row.images:.3f} %" for n, count in counts if count is not None
        )
        or "no labels"
    )


@app.command("benchmark")
def benchmark(
    file: Annotated[
        Path,
        typer.Argument(
            help="A JSON object, a JSON list or a CSV with the fields model, precision, source, "
            "device and images_per_s, and optionally batch, instances, latency_p50_ms (ms), …, "
            "environment."
        ),
    ],
    json: o.Json = False,
) -> None:
    """Imports latencies and throughputs that another machine measured.

    Example: `python -m engine import benchmark card-x.json`
    """
    from engine.imports.benchmark import import_benchmarks, read_benchmarks

    benchmarks = import_benchmarks(read_benchmarks(file), prepare_database())
    if json:
        emit_json([{"benchmark": row.id, "known": is_repeated} for row, is_repeated in benchmarks])
        return
    for row, is_repeated in benchmarks:
        again = "; it was imported before" if is_repeated else ""
        note(f"Benchmark {row.id}: {row.images_per_s:,.1f} images/s at batch {row.batch}{again}.")

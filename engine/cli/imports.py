"""`import`: evaluations and benchmarks of other machines and tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from db.enums import Precision
from db.models import Evaluation
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.evaluation import counts_of
from engine.cli.option_grouping import grouped
from engine.cli.output import emit_json, note
from engine.cli.parsing import read_object, read_preprocess
from engine.common.untrusted import MAX_INTEGER
from engine.preprocess import PreprocessSpec, require_one_scale
from engine.store.database import prepare_database

app = typer.Typer(no_args_is_help=True)
Model = Annotated[
    str, typer.Option("--model", "-m", help="The model that was measured, e.g. timm/seresnet50.")
]
OnePrecision = Annotated[Precision, typer.Option("--precision", "-p", help="fp32, fp16 or int8.")]
Source = Annotated[
    str, typer.Option(help="Where the result comes from: device, tool, version. Shown beside it.")
]
Predictions = Annotated[
    Path,
    typer.Argument(
        help=".npz, .npy, .csv or .parquet with `top5` (class indices, best first; in a CSV "
        "top1 to top5) or `scores` (one a class), and optionally `image` and `label`."
    ),
]
DatasetName = Annotated[
    str,
    typer.Option("--dataset", "-d", help="A registered dataset, or a name for other images."),
]
Labels = Annotated[
    Path | None, typer.Option(help="Label file of other images, as of `dataset add`.")
]
PerClass = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_INTEGER, help="Other images, sorted by class, so many of each class."
    ),
]
Environment = Annotated[
    Path | None,
    typer.Option(help="JSON object of facts of the machine: device, runtime, driver, …"),
]


@app.command("evaluation")
@grouped
def evaluation(
    file: Predictions,
    model: Model,
    precision: OnePrecision,
    source: Source,
    dataset: DatasetName,
    labels: Labels = None,
    *,
    labeling: g.Labeling,
    per_class: PerClass = None,
    background: o.Background = None,
    preprocess: o.PreprocessFile = None,
    environment: Environment = None,
    json: o.Json = False,
) -> None:
    """Imports predictions of another machine as an evaluation, marked as imported.

    Example: `python -m engine import evaluation top5.npz -m timm/legacy_senet154 -p fp32
    --source 'card X, driver 1.2' -d imagenet-val --per-class 50`
    """
    from engine.imports.evaluation import OutsideEvaluation, import_evaluation

    prepared = read_preprocess(preprocess)
    asked = OutsideEvaluation(
        file=file,
        model_id=model,
        precision=precision,
        source=source,
        dataset=dataset,
        labels=labeling.of(labels),
        per_class=per_class,
        background=background,
        preprocess=require_one_scale(PreprocessSpec.from_dict(prepared)) if prepared else None,
        environment=read_object(environment) if environment else None,
    )
    row, known = import_evaluation(asked, prepare_database())
    if json:
        emit_json({"known": known, **counts_of(row)})
        return
    again = " It had been imported before." if known else ""
    note(
        f"Evaluation {row.id}: {model} {precision}, {row.images:,} images of {row.dataset_name}, "
        f"{_shares(row)}, imported.{again}"
    )


def _shares(row: Evaluation) -> str:
    counts = (("top-1", row.top1_count), ("top-5", row.top5_count))
    known = [(name, count) for name, count in counts if count is not None]
    return (
        ", ".join(f"{name} {100 * count / row.images:.3f} %" for name, count in known)
        or "no labels"
    )


@app.command("benchmark")
def benchmark(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON object (or a list, or a CSV) with model, precision, source, device, "
            "images_per_s, and optionally batch, instances, latency_p50_ms, …, environment."
        ),
    ],
    json: o.Json = False,
) -> None:
    """Imports speeds that another machine measured, marked as imported.

    Example: `python -m engine import benchmark card-x.json`
    """
    from engine.imports.benchmark import import_benchmarks, read_benchmarks

    found = import_benchmarks(read_benchmarks(file), prepare_database())
    if json:
        emit_json([{"benchmark": row.id, "known": known} for row, known in found])
        return
    for row, known in found:
        again = ", imported before" if known else ""
        note(f"Benchmark {row.id}: {row.images_per_s:,.1f} images/s at batch {row.batch}{again}.")

"""`export`, `build`, `evaluate`, `run`, `demo`: the chain, through the job queue."""

from __future__ import annotations

import typer

from db.enums import Precision
from engine.cli import options as o
from engine.cli import vendor_export as v
from engine.cli.benchmark import CPU, DIGEST
from engine.cli.follow import queue_jobs, queue_run
from engine.cli.reading import read_preprocess, read_weights
from engine.database import prepare_database
from engine.errors import InvalidRequest
from engine.preprocess.protocols import Protocol
from engine.resolve import published_of
from engine.runs.new_jobs import evaluate_job
from engine.runs.requests import DEMO, RunRequest, Task
from engine.specs import (
    CALIBRATION_IMAGES,
    PERCENTILE,
    CalibrationMode,
    EvaluateSpec,
    TargetName,
)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    for command in (export, build, evaluate, run, demo):
        app.command()(command)


def export(
    model: v.ModelOrFlags = None,
    weights: o.Weights = "pretrained",
    seed: o.Seed = 0,
    form: o.Form = "onnx",
    via: o.Via = "torch",
    protocol: o.ProtocolName = None,
    preprocess: o.PreprocessFile = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    interpolation: o.Interpolation = None,
    resizer: o.Resizer = None,
    resize_mode: o.ResizeMode = None,
    mean: o.Mean = None,
    std: o.Std = None,
    background: o.Background = None,
    detach: o.Detach = False,
    json: o.Json = False,
    model_library: v.Library = None,
    model_name: v.Name = None,
    save_dir: v.SaveDir = None,
    size: v.Size = None,
    pretrained_weights: v.PretrainedWeights = None,
    convert_mode: v.ConvertMode = None,
) -> int:
    """Exports a model to ONNX or TorchScript and checks it against its framework.

    The flags of the vendor's export script are understood too; the file then lies in --save_dir.

    Example: `python -m engine export timm/seresnet50 --weights seresnet50.safetensors`
    """
    flags = v.Flags(model_library, model_name, save_dir, size, pretrained_weights, convert_mode)
    if model is None or flags != v.Flags():
        return v.export_by_flags(model, flags, read_weights(weights, seed), detach, json)
    request = RunRequest(
        model_id=model,
        weights=read_weights(weights, seed),
        tasks=(Task.EXPORT,),
        format=form,
        via=via,
        preprocess=read_preprocess(
            preprocess, resize, crop, interpolation, mean, std, resizer, resize_mode, protocol
        ),
        background=background,
    )
    return queue_run(request, detach, json)


def build(
    model: o.ModelId,
    weights: o.Weights = "pretrained",
    seed: o.Seed = 0,
    precision: o.Precisions = None,
    calibrate_on: o.CalibrationSet = None,
    calibration_images: o.CalibrationImages = CALIBRATION_IMAGES,
    calibrate: o.CalibrationWay = CalibrationMode.MSE,
    percentile: o.Percentile = PERCENTILE,
    max_drop: o.MaxDrop = None,
    target: o.Int8Target = TargetName.AUTO,
    preprocess: o.PreprocessFile = None,
    background: o.Background = None,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Builds a model at the precisions asked for (exporting it first if need be).

    Example: `python -m engine build timm/seresnet50 -p int8 --calibrate-on imagenet-train`
    """
    request = RunRequest(
        model_id=model,
        weights=read_weights(weights, seed),
        precisions=tuple(precision or Precision),
        tasks=(Task.BUILD,),
        calibration_dataset=calibrate_on,
        calibration_images=calibration_images,
        calibration_mode=calibrate,
        calibration_percentile=percentile,
        max_drop=max_drop,
        target=target,
        preprocess=read_preprocess(preprocess),
        background=background,
    )
    return queue_run(request, detach, json)


def evaluate(
    target: o.Target,
    dataset: o.DatasetName = None,
    limit: o.Limit = None,
    weights: o.Weights = "pretrained",
    precision: o.Precisions = None,
    calibrate_on: o.CalibrationSet = None,
    provider: o.Provider = CPU,
    protocol: o.ProtocolName = None,
    preprocess: o.PreprocessFile = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    interpolation: o.Interpolation = None,
    resizer: o.Resizer = None,
    resize_mode: o.ResizeMode = None,
    mean: o.Mean = None,
    std: o.Std = None,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Measures top-1 and top-5 on a registered dataset, with intervals, keeping every image.

    A protocol or preprocessing given here is that of the evaluation alone: nothing is exported
    again.

    Example: `python -m engine evaluate timm/seresnet50 -p fp32 -d imagenet-val`
    """
    prepared = read_preprocess(
        preprocess, resize, crop, interpolation, mean, std, resizer, resize_mode, protocol
    )
    if DIGEST.fullmatch(target):
        if dataset is None:
            raise InvalidRequest("Evaluate needs --dataset NAME; `dataset list` shows them.")
        if protocol is Protocol.PUBLISHED:
            prepared = published_of(target, prepare_database()).to_dict()
        spec = EvaluateSpec(
            artifact=target, dataset=dataset, limit=limit, provider=provider, preprocess=prepared
        )
        return queue_jobs([evaluate_job(spec)], detach, json)
    request = RunRequest(
        model_id=target,
        weights=read_weights(weights),
        precisions=tuple(precision or Precision),
        tasks=(Task.EVALUATE,),
        dataset=dataset,
        limit=limit,
        calibration_dataset=calibrate_on,
        provider=provider,
        evaluation_preprocess=prepared,
    )
    return queue_run(request, detach, json)


def run(
    model: o.ModelId,
    weights: o.Weights = "pretrained",
    seed: o.Seed = 0,
    precision: o.Precisions = None,
    dataset: o.DatasetName = None,
    limit: o.Limit = None,
    calibrate_on: o.CalibrationSet = None,
    calibration_images: o.CalibrationImages = CALIBRATION_IMAGES,
    calibrate: o.CalibrationWay = CalibrationMode.MSE,
    percentile: o.Percentile = PERCENTILE,
    max_drop: o.MaxDrop = None,
    target: o.Int8Target = TargetName.AUTO,
    batch: o.Batches = None,
    threads: o.Threads = None,
    instances: o.Instances = None,
    again: o.Again = False,
    provider: o.Provider = CPU,
    max_seconds: o.Seconds = 30,
    protocol: o.ProtocolName = None,
    preprocess: o.PreprocessFile = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    interpolation: o.Interpolation = None,
    resizer: o.Resizer = None,
    resize_mode: o.ResizeMode = None,
    mean: o.Mean = None,
    std: o.Std = None,
    background: o.Background = None,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """The whole chain: export, build, evaluate (with --dataset) and benchmark, then the table.

    Example: `python -m engine run timm/seresnet50 --dataset imagenet-val -p fp32 -p int8`
    """
    tasks = [Task.EXPORT, Task.BUILD, Task.BENCHMARK]
    request = RunRequest(
        model_id=model,
        weights=read_weights(weights, seed),
        precisions=tuple(precision or Precision),
        tasks=tuple([*tasks, Task.EVALUATE] if dataset else tasks),
        dataset=dataset,
        limit=limit,
        calibration_dataset=calibrate_on,
        calibration_images=calibration_images,
        calibration_mode=calibrate,
        calibration_percentile=percentile,
        max_drop=max_drop,
        target=target,
        batches=o.joined(batch, 1),
        threads=o.joined(threads, 0),
        instances=o.joined(instances, 1),
        again=again,
        provider=provider,
        benchmark_max_s=max_seconds,
        preprocess=read_preprocess(
            preprocess, resize, crop, interpolation, mean, std, resizer, resize_mode, protocol
        ),
        background=background,
    )
    return queue_run(request, detach, json)


def demo(detach: o.Detach = False, json: o.Json = False) -> int:
    """Runs the built-in demo: a trained SE network on images the workbench draws itself.

    Takes about two minutes on two cores and needs neither network nor data.

    Example: `python -m engine demo`
    """
    return queue_run(DEMO, detach, json)

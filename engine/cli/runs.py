"""`export`, `build`, `evaluate`, `run` and `demo`: the pipeline, through the job queue."""

from __future__ import annotations

from engine.build.lookup import published_of
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.follow import queue_jobs, queue_run
from engine.cli.option_groups import expand_groups
from engine.cli.parsing import (
    is_digest,
    possible_runtimes,
    read_models,
    read_preprocess,
    read_weights,
)
from engine.cli.vendor import export as v
from engine.datasets.available import AvailableDatasets
from engine.errors import InvalidRequest
from engine.preprocess import require_one_scale
from engine.preprocess.protocols import Protocol
from engine.runs.compile import dataset_job, evaluate_job
from engine.runs.fields import DEFAULTS
from engine.runs.request import DEMO, RunRequest, Task
from engine.specs import CPU_PROVIDER, EvaluateSpec
from engine.store import artifacts
from engine.store.database import prepare_database


@expand_groups
def export(
    model: v.ModelOrFlags = None,
    *,
    weights: o.Weights = "pretrained",
    weights_key: o.WeightsKey = None,
    seed: o.Seed = 0,
    format_: o.FormatName = "onnx",
    exporter: o.Exporter = "torch",
    preparation: g.PreprocessOptions,
    outputs: g.OutputOptions,
    detach: o.Detach = False,
    json: o.Json = False,
    vendor: v.VendorExportOptions,
) -> int:
    """Exports a model to ONNX or TorchScript and verifies its outputs against the framework.

    The options of the vendor's export script (with underscores) are accepted, too; the file is then
    copied to --save_dir.

    Example: `python -m engine export timm/seresnet50 --weights seresnet50.safetensors`
    """
    if model is None or vendor != v.VendorExportOptions():
        return v.export_by_vendor_options(
            model, vendor, read_weights(weights, seed, weights_key), detach, json
        )
    request = RunRequest(
        model_id=model,
        weights=read_weights(weights, seed, weights_key),
        tasks=(Task.EXPORT,),
        format=format_,
        via=exporter,
        preprocess=preparation.read(),
        **outputs.request_fields(),
    )
    return queue_run(request, detach, json)


@expand_groups
def build(
    model: o.ModelId,
    *,
    builds: g.BuildOptions,
    calibration: g.CalibrationOptions,
    preprocess: o.PreprocessFile = None,
    outputs: g.OutputOptions,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Builds a model in fp32, fp16, bf16 and int8, and exports it first if necessary.

    -p selects precisions; without it: fp32, fp16 and int8. bf16 is the fp32 file, to be executed in
    bf16; int8-bf16 the int8 file, with bf16 where it is not integer. int8 is calibrated on
    --calibration-images images (default 300) of --calibration-dataset.

    Example: `python -m engine build timm/seresnet50 -p int8 --calibration-dataset imagenet-train`
    """
    request = RunRequest(
        model_id=model,
        **builds.request_fields(),
        tasks=(Task.BUILD,),
        **calibration.request_fields(),
        preprocess=read_preprocess(preprocess),
        **outputs.request_fields(),
    )
    return queue_run(request, detach, json)


@expand_groups
def evaluate(
    target: o.Target,
    *,
    dataset: o.DatasetName = None,
    max_images: o.MaxImages = None,
    weights: o.Weights = "pretrained",
    weights_key: o.WeightsKey = None,
    precision: o.Precisions = None,
    calibration_dataset: o.CalibrationDataset = None,
    runtime: o.Runtimes = None,
    provider: o.Provider = CPU_PROVIDER,
    compare_fp32: o.CompareFp32 = DEFAULTS["compare_fp32"],
    preparation: g.PreprocessOptions,
    outputs: g.OutputOptions,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Measures top-1 and top-5 accuracy on a registered dataset, with 95 % intervals.

    The result of every image is stored, so that evaluations can be compared in pairs (`compare`).
    A protocol or preprocessing given here applies to this evaluation only: nothing is exported
    again, and settings that are not given stay as in the export.

    Example: `python -m engine evaluate timm/seresnet50 -p fp32 -d imagenet-val`
    """
    preprocess = preparation.read()
    if is_digest(target):
        if dataset is None:
            raise InvalidRequest(
                "Evaluate needs --dataset NAME; `dataset list` shows the datasets."
            )
        if outputs != g.OutputOptions():
            raise InvalidRequest(
                "--background and --output are fixed when a model is built: give them to `build`, "
                "and evaluate the new build."
            )
        url = prepare_database()
        artifact = artifacts.find_by_digest(target, url)
        runtimes = possible_runtimes(runtime, artifact, provider)
        if preparation.protocol is Protocol.PUBLISHED:
            preprocess = published_of(target, url).to_dict()
        if preprocess is not None:
            exported = artifacts.preprocess_of(artifact)
            require_one_scale(exported.with_overrides(preprocess))
        specs = [
            EvaluateSpec(
                artifact=target,
                dataset=dataset,
                limit=max_images,
                runtime=name,
                provider=provider,
                preprocess=preprocess,
            )
            for name in runtimes
        ]
        prepared = AvailableDatasets.read(url).preparing.get(dataset)
        first = [dataset_job(prepared)] if prepared is not None else []
        jobs = [evaluate_job(spec, range(len(first))) for spec in specs]
        return queue_jobs([*first, *jobs], detach, json)
    request = RunRequest(
        model_id=target,
        weights=read_weights(weights, key=weights_key),
        **g.precisions_and_runtimes(precision, runtime),
        tasks=(Task.EVALUATE,),
        dataset=dataset,
        limit=max_images,
        calibration_dataset=calibration_dataset,
        provider=provider,
        compare_fp32=compare_fp32,
        evaluation_preprocess=preprocess,
        **outputs.request_fields(),
    )
    return queue_run(request, detach, json)


@expand_groups
def run(
    models: o.ModelIds = None,
    *,
    catalog: o.WholeCatalog = False,
    source: o.Sources = None,
    builds: g.BuildOptions,
    dataset: o.DatasetName = None,
    max_images: o.MaxImages = None,
    calibration: g.CalibrationOptions,
    conditions: g.BenchmarkOptions,
    runtime: o.Runtimes = None,
    provider: o.Provider = CPU_PROVIDER,
    preparation: g.PreprocessOptions,
    outputs: g.OutputOptions,
    host: o.RunHosts = None,
    name: o.RunName = None,
    notes: o.RunNotes = None,
    tag: o.RunTags = None,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Exports, builds, benchmarks and (with --dataset) evaluates models; shows the results.

    What exists already is reused; a stopped run continues when the same command is given again.

    With several runtimes each build is measured in each that executes its precision. All models of
    a run get the same precisions, runtimes and options.

    Example: `python -m engine run timm/seresnet50 --dataset imagenet-val -p fp32 -p int8
    -r onnxruntime -r openvino`
    """
    tasks = [Task.EXPORT, Task.BUILD, Task.BENCHMARK]
    weights = read_weights(builds.weights, builds.seed, builds.weights_key)
    chosen = read_models(models or (), weights, source or (), catalog)
    request = RunRequest(
        **{**builds.request_fields(runtime), **chosen},
        hosts=tuple(dict.fromkeys(host or ())),
        name=name,
        notes=notes,
        tags=tuple(dict.fromkeys(tag or ())),
        tasks=tuple([*tasks, Task.EVALUATE] if dataset else tasks),
        dataset=dataset,
        limit=max_images,
        **calibration.request_fields(),
        **conditions.request_fields(),
        provider=provider,
        preprocess=preparation.read(),
        **outputs.request_fields(),
    )
    return queue_run(request, detach, json)


def demo(runtime: o.Runtimes = None, detach: o.Detach = False, json: o.Json = False) -> int:
    """Runs the built-in demo: a trained SE network on synthetic images, without any download.

    It exports, builds, evaluates and benchmarks the network, in about two minutes on two cores.

    Example: `python -m engine demo`
    """
    chosen = g.precisions_and_runtimes(None, runtime)
    return queue_run(DEMO.model_copy(update=chosen), detach, json)

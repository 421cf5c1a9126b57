"""`export`, `build`, `evaluate`, `run`, `demo`: the chain, through the job queue."""

from __future__ import annotations

from engine.build.lookup import published_of
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.follow import queue_jobs, queue_run
from engine.cli.option_grouping import grouped
from engine.cli.parsing import is_digest, read_preprocess, read_weights
from engine.cli.vendor import export as v
from engine.errors import InvalidRequest
from engine.preprocess import require_one_scale
from engine.preprocess.protocols import Protocol
from engine.runs.compile import evaluate_job
from engine.runs.request import DEMO, RunRequest, Task
from engine.runtimes.registry import require
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, EvaluateSpec
from engine.specs.precisions import in_order
from engine.store import artifacts
from engine.store.database import prepare_database


@grouped
def export(
    model: v.ModelOrFlags = None,
    *,
    weights: o.Weights = "pretrained",
    weights_key: o.WeightsKey = None,
    seed: o.Seed = 0,
    form: o.Form = "onnx",
    via: o.Via = "torch",
    preparation: g.Preparation,
    outputs: g.Outputs,
    detach: o.Detach = False,
    json: o.Json = False,
    flags: v.Flags,
) -> int:
    """Exports a model to ONNX or TorchScript and checks it against its framework.

    The flags of the vendor's export script are understood too; the file then lies in --save_dir.

    Example: `python -m engine export timm/seresnet50 --weights seresnet50.safetensors`
    """
    if model is None or flags != v.Flags():
        return v.export_by_flags(
            model, flags, read_weights(weights, seed, weights_key), detach, json
        )
    request = RunRequest(
        model_id=model,
        weights=read_weights(weights, seed, weights_key),
        tasks=(Task.EXPORT,),
        format=form,
        via=via,
        preprocess=preparation.read(),
        **outputs.asked(),
    )
    return queue_run(request, detach, json)


@grouped
def build(
    model: o.ModelId,
    *,
    builds: g.Builds,
    calibration: g.Calibration,
    preprocess: o.PreprocessFile = None,
    outputs: g.Outputs,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Builds a model at the precisions asked for (exporting it first if need be).

    Example: `python -m engine build timm/seresnet50 -p int8 --calibrate-on imagenet-train`
    """
    request = RunRequest(
        model_id=model,
        **builds.asked(),
        tasks=(Task.BUILD,),
        **calibration.asked(),
        preprocess=read_preprocess(preprocess),
        **outputs.asked(),
    )
    return queue_run(request, detach, json)


@grouped
def evaluate(
    target: o.Target,
    *,
    dataset: o.DatasetName = None,
    limit: o.Limit = None,
    weights: o.Weights = "pretrained",
    weights_key: o.WeightsKey = None,
    precision: o.Precisions = None,
    calibrate_on: o.CalibrationSet = None,
    runtime: o.Runtime = DEFAULT_RUNTIME,
    provider: o.Provider = CPU_PROVIDER,
    preparation: g.Preparation,
    outputs: g.Outputs,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Measures top-1 and top-5 on a registered dataset, with intervals, keeping every image.

    A protocol or preprocessing given here is that of the evaluation alone: nothing is exported
    again, and what is left out stays as the export has it.

    Example: `python -m engine evaluate timm/seresnet50 -p fp32 -d imagenet-val`
    """
    prepared = preparation.read()
    if is_digest(target):
        if dataset is None:
            raise InvalidRequest("Evaluate needs --dataset NAME; `dataset list` shows them.")
        if outputs != g.Outputs():
            raise InvalidRequest(
                "A build has its outputs from its file: build it anew with `--background` or "
                "`--output`."
            )
        url = prepare_database()
        artifact = artifacts.find_by_digest(target, url)
        require(runtime, artifact.precision)
        if preparation.protocol is Protocol.PUBLISHED:
            prepared = published_of(target, url).to_dict()
        if prepared is not None:
            own = artifacts.preprocess_of(artifact)
            require_one_scale(own.with_overrides(prepared))
        spec = EvaluateSpec(
            artifact=target,
            dataset=dataset,
            limit=limit,
            runtime=runtime,
            provider=provider,
            preprocess=prepared,
        )
        return queue_jobs([evaluate_job(spec)], detach, json)
    request = RunRequest(
        model_id=target,
        weights=read_weights(weights, key=weights_key),
        precisions=in_order(precision),
        tasks=(Task.EVALUATE,),
        dataset=dataset,
        limit=limit,
        calibration_dataset=calibrate_on,
        runtime=runtime,
        provider=provider,
        evaluation_preprocess=prepared,
        **outputs.asked(),
    )
    return queue_run(request, detach, json)


@grouped
def run(
    model: o.ModelId,
    *,
    builds: g.Builds,
    dataset: o.DatasetName = None,
    limit: o.Limit = None,
    calibration: g.Calibration,
    points: g.Points,
    runtime: o.Runtime = DEFAULT_RUNTIME,
    provider: o.Provider = CPU_PROVIDER,
    preparation: g.Preparation,
    outputs: g.Outputs,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """The whole chain: export, build, evaluate (with --dataset) and benchmark, then the table.

    Example: `python -m engine run timm/seresnet50 --dataset imagenet-val -p fp32 -p int8`
    """
    tasks = [Task.EXPORT, Task.BUILD, Task.BENCHMARK]
    request = RunRequest(
        model_id=model,
        **builds.asked(),
        tasks=tuple([*tasks, Task.EVALUATE] if dataset else tasks),
        dataset=dataset,
        limit=limit,
        **calibration.asked(),
        **points.asked(),
        runtime=runtime,
        provider=provider,
        preprocess=preparation.read(),
        **outputs.asked(),
    )
    return queue_run(request, detach, json)


def demo(detach: o.Detach = False, json: o.Json = False) -> int:
    """Runs the built-in demo: a trained SE network on images the workbench draws itself.

    Takes about two minutes on two cores and needs neither network nor data.

    Example: `python -m engine demo`
    """
    return queue_run(DEMO, detach, json)

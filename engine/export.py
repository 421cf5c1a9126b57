"""Export: a model with its weights becomes one ONNX file that computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from db.enums import ArtifactKind, Precision
from db.tables import Weights
from engine import artifacts, onnx_graph
from engine.catalog import CatalogModel, find_model
from engine.compute import count_compute
from engine.database import record_model
from engine.environment import library_versions
from engine.errors import ExportFailed
from engine.jobs.context import JobContext
from engine.preprocess import PreprocessSpec
from engine.specs import ExportSpec
from engine.verify import TOLERANCE, Agreement, compare, probe_inputs

if TYPE_CHECKING:
    from torch import nn

OPSET = 18


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: finds the artifact of this recipe, or makes it."""
    spec = ExportSpec.model_validate(params)
    known = artifacts.find_by_recipe(spec.recipe(), context.url)
    if known is not None:
        context.say(f"Already there: artifact {known.digest[:12]}.")
        return {"artifact": known.digest, "reused": True}
    model = find_model(spec.model_id)
    exporter = _EXPORTERS.get(model.source, _export_torch)
    return {"artifact": exporter(model, spec, context), "reused": False}


def _export_torch(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    from engine.weights import module_digest

    context.stage(f"Building {model.id}.")
    module, weights = _module(model, spec, context)
    record_model(model, context.url)
    if weights is None:
        weights = Weights(
            digest=module_digest(module), origin=f"random, seed {spec.weights.seed}", size_bytes=0
        )
    weights.model_id, weights.kind = model.id, spec.weights.kind
    artifacts.record_weights(weights, context.url)

    preprocess = protocol_of(model, spec, module)
    path = context.workspace / "artifact" / artifacts.MODEL_FILE
    path.parent.mkdir()
    context.stage(f"Exporting at {preprocess.crop} x {preprocess.crop} pixels.")
    onnx_graph.save(to_onnx(module, preprocess.crop), path)
    context.stage("Comparing the export with the model.")
    agreement = _check(module, path, preprocess)
    context.say(f"Largest relative difference {agreement.max_relative_difference:.1e}.")
    # Folding BatchNorm away changes the count: people mean the module's own parameters.
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return finish(
        path, model, spec, weights.digest, preprocess, agreement, context, parameters=parameters
    )


def _module(
    model: CatalogModel, spec: ExportSpec, context: JobContext
) -> tuple[nn.Module, Weights | None]:
    from engine.sources import adapt_state, build_module
    from engine.sources.checkpoints import read_checkpoint
    from engine.sources.matching import load_into
    from engine.weights import find_weights

    module = build_module(model.source, model.architecture, seed=spec.weights.seed)
    found = find_weights(
        model, spec.weights, lambda done, total: context.progress(done, total, "bytes")
    )
    if found is None:
        return module, None
    context.say(f"Loading weights: {found.origin}.")
    state = adapt_state(model.source, model.architecture, read_checkpoint(found.path))
    load_into(module, state, model.id)
    size = found.path.stat().st_size
    return module, Weights(digest=found.digest, origin=found.origin, size_bytes=size)


def protocol_of(model: CatalogModel, spec: ExportSpec, module: nn.Module) -> PreprocessSpec:
    """How images are prepared: as asked, else as published, else as timm configures the model."""
    if spec.preprocess is not None:
        return PreprocessSpec.from_dict(spec.preprocess)
    if model.preprocess is not None:
        return model.preprocess
    if model.source == "demo":
        from engine.demo import images

        return PreprocessSpec(resize=None, crop=images.IMAGE_SIZE, mean=images.MEAN, std=images.STD)
    return _timm_protocol(module)


def _timm_protocol(module: nn.Module) -> PreprocessSpec:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    side = int(config["input_size"][-1])
    if config["crop_mode"] not in ("center", "squash"):
        raise ExportFailed(
            f"timm prepares images for this model with crop mode {config['crop_mode']!r}, which "
            f"is not supported; give the preprocessing yourself."
        )
    return PreprocessSpec.from_dict(
        {
            "resize": int(side / config["crop_pct"]),
            "resize_mode": "squash" if config["crop_mode"] == "squash" else "short_side",
            "crop": side,
            "interpolation": config["interpolation"],
            "mean": config["mean"],
            "std": config["std"],
        }
    )


def to_onnx(module: nn.Module, side: int) -> onnx.ModelProto:
    """The module as an ONNX graph: `input` (batch, 3, side, side) -> `logits`, batch open.

    Raises ExportFailed when the exporter gives another opset than asked (it may keep its own
    without an error).
    """
    import torch

    program = torch.onnx.export(
        module,
        (torch.zeros(1, 3, side, side),),
        dynamo=True,
        opset_version=OPSET,
        input_names=[onnx_graph.INPUT],
        output_names=[onnx_graph.OUTPUT],
        dynamic_shapes=({0: torch.export.Dim(onnx_graph.BATCH)},),
        verbose=False,
    )
    if program is None:
        raise ExportFailed("The exporter returned nothing; see the log.")
    proto = program.model_proto
    onnx_graph.strip_origins(proto)
    if onnx_graph.opset_of(proto) != OPSET:
        raise ExportFailed(
            f"Opset {OPSET} was asked for, the exporter wrote {onnx_graph.opset_of(proto)}."
        )
    return proto


def _check(module: nn.Module, path: Path, preprocess: PreprocessSpec) -> Agreement:
    import torch

    from engine.runtimes.onnx_runtime import OnnxRuntime

    def reference(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            scores: np.ndarray = module(torch.from_numpy(batch)).numpy()
        return scores

    exported = OnnxRuntime(path, "CPUExecutionProvider", threads=0)
    agreement = compare(reference, exported.run, probe_inputs(preprocess))
    if agreement.max_relative_difference > TOLERANCE or agreement.same_top1 < agreement.inputs:
        raise ExportFailed(
            f"The export does not compute what the model does: relative difference "
            f"{agreement.max_relative_difference:.1e} (at most {TOLERANCE:g}), the same top-1 on "
            f"{agreement.same_top1} of {agreement.inputs} inputs."
        )
    return agreement


def finish(
    path: Path,
    model: CatalogModel,
    spec: ExportSpec,
    weights_digest: str,
    preprocess: PreprocessSpec,
    agreement: Agreement | None,
    context: JobContext,
    parameters: int | None = None,
    **more: Any,
) -> str:
    """Counts the arithmetic, writes the manifest, stores the artifact; returns its digest."""
    proto = onnx.load(path)
    compute = count_compute(proto)
    classes = onnx_graph.shape_of(proto.graph.output[0])[-1]
    params_m = (parameters or compute.parameters) / 1e6
    record_model(model, context.url, compute_gmacs=compute.compute_gmacs, params_m=params_m)
    manifest = {
        "preprocess": preprocess.to_dict(),
        "classes": classes,
        "background": spec.background,
        "opset": onnx_graph.opset_of(proto),
        "compute": {"gmacs": compute.compute_gmacs, "params_m": params_m},
        "agreement": agreement.to_dict() if agreement else None,
        "versions": library_versions(),
        **more,
    }
    new = artifacts.NewArtifact(
        recipe=spec.recipe(),
        kind=ArtifactKind.EXPORT,
        model_id=model.id,
        weights_digest=weights_digest,
        weights_kind=spec.weights.kind,
        precision=Precision.FP32,
        manifest=manifest,
    )
    artifact = artifacts.store(path.parent, new, context.url)
    context.say(f"Stored as artifact {artifact.digest[:12]} ({artifact.size_bytes / 1e6:.1f} MB).")
    return artifact.digest


def _import_onnx(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    from engine.onnx_import import import_onnx

    return import_onnx(model, spec, context)


_EXPORTERS: dict[str, Callable[[CatalogModel, ExportSpec, JobContext], str]] = {
    "onnx": _import_onnx,
}

"""Export: a model with its weights becomes one file that computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from db.models import Artifact
from engine.catalog.models import CatalogModel, find_model
from engine.common.environment import peak_rss_mb
from engine.errors import ExportFailed
from engine.export.loaded_model import load_module, parameters_of
from engine.export.record import Exported, finish, require_agreement
from engine.export.routes import require_route
from engine.export.torch_export import scores_of, write
from engine.export.verify import compare, probe_inputs
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.preprocess import PreprocessSpec
from engine.specs import ExportSpec
from engine.store import artifacts
from engine.store.manifest import ExportManifest

if TYPE_CHECKING:
    from torch import nn

Exporter = Callable[[CatalogModel, ExportSpec, JobContext], str]


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: finds the artifact of this recipe, or makes it."""
    spec = ExportSpec.model_validate(params)
    model = find_model(spec.model_id)
    exporter = exporter_of(model, spec)
    known = artifacts.find_by_recipe(spec.fingerprint(), context.url)
    if known is not None:
        context.say(f"Already there: artifact {known.digest[:12]}.")
        return _result(known, reused=True).dump()
    digest = exporter(model, spec, context)
    made = _result(artifacts.find_by_digest(digest, context.url), reused=False)
    return made.model_copy(update={"peak_rss_mb": round(peak_rss_mb())}).dump()


def _result(artifact: Artifact, reused: bool) -> JobResult:
    """With what was assumed of its file, where anything was."""
    notes = ExportManifest.of(artifact).notes
    found = JobResult(artifact=artifact.digest, reused=reused)
    return found.model_copy(update={"notes": notes}) if notes else found


def exporter_of(model: CatalogModel, spec: ExportSpec) -> Exporter:
    """What makes this export; InvalidRequest for a route or format that the source lacks."""
    require_route(model, spec.format, spec.via)
    if model.source == "onnx":
        return _import_onnx
    return _ROUTES[spec.via]


def _export_torch(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    loaded, weights = load_module(model, spec, context)
    module = loaded.module
    preprocess = protocol_of(model, spec, module)
    folder = context.workspace / "artifact"
    folder.mkdir()
    context.stage(f"Exporting at {preprocess.crop} x {preprocess.crop} pixels.")
    graph, exported = write(spec.format, module, preprocess.crop, folder)
    context.stage("Comparing the export with the model.")
    agreement = compare(scores_of(module), exported, probe_inputs(preprocess))
    require_agreement(agreement, context)
    parameters = parameters_of(module)
    made = Exported(
        folder, graph, weights, preprocess, agreement, parameters, loaded.about(), loaded.classes
    )
    return finish(made, model, spec, context)


def protocol_of(model: CatalogModel, spec: ExportSpec, module: nn.Module) -> PreprocessSpec:
    """How images are prepared: as published, else as timm configures it, with what was asked."""
    return _own_protocol(model, module).with_overrides(spec.preprocess)


def _own_protocol(model: CatalogModel, module: nn.Module) -> PreprocessSpec:
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


def _import_onnx(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    from engine.export.onnx_import import import_onnx

    return import_onnx(model, spec, context)


def _convert_paddle(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    from engine.export.paddle import export_with_paddle2onnx

    return export_with_paddle2onnx(model, spec, context)


_ROUTES: dict[str, Exporter] = {"torch": _export_torch, "paddle2onnx": _convert_paddle}

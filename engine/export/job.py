"""The export job: writes a model with its weights to one file and verifies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from db.models import Artifact
from engine.catalog.models import CatalogModel, find_model
from engine.common.environment import peak_rss_mb
from engine.errors import ExportFailed
from engine.export.loaded_model import count_parameters, load_module
from engine.export.record import Exported, require_agreement, store_export
from engine.export.routes import require_route
from engine.export.torch_export import score_function, write
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
    """Job handler: reuses the artifact of this recipe, or exports it."""
    spec = ExportSpec.model_validate(params)
    model = find_model(spec.model_id)
    exporter = find_exporter(model, spec)
    existing = artifacts.find_by_recipe(spec.fingerprint(), context.url)
    if existing is not None:
        context.say(f"Reused artifact {existing.digest[:12]}.")
        return _result(existing, reused=True).dump()
    digest = exporter(model, spec, context)
    result = _result(artifacts.find_by_digest(digest, context.url), reused=False)
    return result.model_copy(update={"peak_rss_mb": round(peak_rss_mb())}).dump()


def _result(artifact: Artifact, reused: bool) -> JobResult:
    """The result of the job, with the notes of the import if there are any."""
    notes = ExportManifest.from_artifact(artifact).notes
    result = JobResult(artifact=artifact.digest, reused=reused)
    return result.model_copy(update={"notes": notes}) if notes else result


def find_exporter(model: CatalogModel, spec: ExportSpec) -> Exporter:
    """The exporter for this spec. Raises InvalidRequest for an unsupported route or format."""
    require_route(model, spec.format, spec.via)
    if model.source == "onnx":
        return _import_onnx
    return _ROUTES[spec.via]


def _export_torch(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    loaded, weights = load_module(model, spec, context)
    module = loaded.module
    preprocess = preprocessing_for(model, spec, module)
    folder = context.workspace / "artifact"
    folder.mkdir()
    context.stage(f"Exporting at {preprocess.crop} x {preprocess.crop} pixels.")
    graph, exported = write(spec.format, module, preprocess.crop, folder)
    context.stage("Comparing the export with the model.")
    agreement = compare(score_function(module), exported, probe_inputs(preprocess))
    require_agreement(agreement, context)
    parameters = count_parameters(module)
    exported_model = Exported(
        folder,
        graph,
        weights,
        preprocess,
        agreement,
        parameters,
        loaded.manifest_facts(),
        loaded.classes,
    )
    return store_export(exported_model, model, spec, context)


def preprocessing_for(model: CatalogModel, spec: ExportSpec, module: nn.Module) -> PreprocessSpec:
    """The published preprocessing, else that of timm, with the requested changes."""
    return _default_preprocessing(model, module).with_overrides(spec.preprocess)


def _default_preprocessing(model: CatalogModel, module: nn.Module) -> PreprocessSpec:
    if model.preprocess is not None:
        return model.preprocess
    if model.source == "demo":
        from engine.demo import images

        return PreprocessSpec(resize=None, crop=images.IMAGE_SIZE, mean=images.MEAN, std=images.STD)
    return _timm_preprocessing(module)


def _timm_preprocessing(module: nn.Module) -> PreprocessSpec:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(module)
    side = int(config["input_size"][-1])
    if config["crop_mode"] not in ("center", "squash"):
        raise ExportFailed(
            f"timm uses crop mode {config['crop_mode']!r} for this model, which is not supported: "
            f"choose the preprocessing yourself (custom preprocessing)."
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

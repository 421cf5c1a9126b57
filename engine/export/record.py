"""The last steps of every export: check the agreement, count MACs, write the manifest, store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from db.enums import ArtifactKind, Precision
from db.models import Weights
from engine.catalog.models import CatalogModel
from engine.common.environment import library_versions
from engine.errors import ExportFailed
from engine.export.verify import TOLERANCE, Agreement
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.onnx.macs import count_compute
from engine.preprocess import PreprocessSpec
from engine.runtimes.shape_inference import shapes_by_run
from engine.specs import ExportSpec
from engine.store import artifacts
from engine.store.database import record_model
from engine.store.manifest import Compute, ExportManifest


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: its folder, and the graph for counting MACs.

    `parameters`: count of the torch module, None for an imported graph; `manifest_facts`: keys to
    add to the manifest; `other_classes`: number of classes where it differs from the catalog model,
    whose MACs and parameters are then not updated.
    """

    folder: Path
    graph: onnx.ModelProto
    weights: Weights
    preprocess: PreprocessSpec
    agreement: Agreement
    parameters: int | None = None
    manifest_facts: dict[str, Any] = field(default_factory=dict)
    other_classes: int | None = None


def require_agreement(agreement: Agreement, context: JobContext) -> None:
    """Logs the agreement of an export with its model; raises ExportFailed where it is too low."""
    difference = agreement.max_relative_difference
    if difference > TOLERANCE or agreement.same_top1 < agreement.inputs:
        raise ExportFailed(
            f"The export does not agree with the model: relative difference {difference:.1e} "
            f"(limit {TOLERANCE:g}), top-1 agrees on {agreement.same_top1} of "
            f"{agreement.inputs} inputs."
        )
    context.say(f"Max relative difference to the model: {difference:.1e}.")


def store_export(
    exported: Exported, model: CatalogModel, spec: ExportSpec, context: JobContext
) -> str:
    """Counts MACs, writes the manifest, stores the artifact; returns its digest."""
    compute = count_compute(exported.graph)
    if compute.unknown:
        compute = count_compute(
            exported.graph, shapes=shapes_by_run(exported.graph, exported.preprocess.crop)
        )
    if compute.unknown:
        context.say(f"GMACs are unknown: {compute.unknown}.")
    classes = graph_io.shape_of(exported.graph.graph.output[0])[-1]
    params_m = (exported.parameters or compute.parameters) / 1e6
    figures = {"compute_gmacs": compute.compute_gmacs, "params_m": params_m}
    record_model(model, context.url, **({} if exported.other_classes else figures))
    counted = Compute(gmacs=compute.compute_gmacs, params_m=params_m)
    if compute.unknown:
        counted = counted.model_copy(update={"unknown": compute.unknown})
    manifest = ExportManifest(
        preprocess=exported.preprocess.to_dict(),
        classes=classes,
        background=spec.background,
        via=spec.via,
        opset=graph_io.opset_of(exported.graph) if spec.format == "onnx" else None,
        compute=counted,
        agreement=exported.agreement.to_dict(),
        versions=library_versions(),
        **exported.manifest_facts,
    )
    new = artifacts.NewArtifact(
        recipe=spec.fingerprint(),
        kind=ArtifactKind.EXPORT,
        model_id=model.id,
        weights_digest=exported.weights.digest,
        weights_kind=spec.weights.kind,
        weights_origin=exported.weights.origin,
        precision=Precision.FP32,
        format=spec.format,
        manifest=manifest,
    )
    artifact = artifacts.store(exported.folder, new, context.url)
    context.say(f"Stored as artifact {artifact.digest[:12]} ({artifact.size_bytes / 1e6:.1f} MB).")
    return artifact.digest

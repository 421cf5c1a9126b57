"""What every export ends with: it computes what it should, it is counted, described and stored."""

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
    """A finished export: its folder, the graph that MACs are counted from, and what made it.

    `parameters` is the count of the framework's module, None where only the graph is known;
    `about` is added to the manifest. `other_classes` is the network's number of classes where it
    is not the model's own: its counts are then not the model's.
    """

    folder: Path
    graph: onnx.ModelProto
    weights: Weights
    preprocess: PreprocessSpec
    agreement: Agreement
    parameters: int | None = None
    about: dict[str, Any] = field(default_factory=dict)
    other_classes: int | None = None


def require_agreement(agreement: Agreement, context: JobContext) -> None:
    """Says how close an export is to its model; raises ExportFailed where it is not close."""
    difference = agreement.max_relative_difference
    if difference > TOLERANCE or agreement.same_top1 < agreement.inputs:
        raise ExportFailed(
            f"The export does not compute what the model does: relative difference "
            f"{difference:.1e} (at most {TOLERANCE:g}), the same top-1 on "
            f"{agreement.same_top1} of {agreement.inputs} inputs."
        )
    context.say(f"Largest relative difference {difference:.1e}.")


def finish(made: Exported, model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    """Counts the arithmetic, writes the manifest, stores the artifact; returns its digest."""
    compute = count_compute(made.graph)
    if compute.unknown:
        compute = count_compute(made.graph, shapes=shapes_by_run(made.graph, made.preprocess.crop))
    if compute.unknown:
        context.say(f"GMACs stay unknown: {compute.unknown}.")
    classes = graph_io.shape_of(made.graph.graph.output[0])[-1]
    params_m = (made.parameters or compute.parameters) / 1e6
    figures = {"compute_gmacs": compute.compute_gmacs, "params_m": params_m}
    record_model(model, context.url, **({} if made.other_classes else figures))
    counted = Compute(gmacs=compute.compute_gmacs, params_m=params_m)
    if compute.unknown:
        counted = counted.model_copy(update={"unknown": compute.unknown})
    manifest = ExportManifest(
        preprocess=made.preprocess.to_dict(),
        classes=classes,
        background=spec.background,
        via=spec.via,
        opset=graph_io.opset_of(made.graph) if spec.format == "onnx" else None,
        compute=counted,
        agreement=made.agreement.to_dict(),
        versions=library_versions(),
        **made.about,
    )
    new = artifacts.NewArtifact(
        recipe=spec.fingerprint(),
        kind=ArtifactKind.EXPORT,
        model_id=model.id,
        weights_digest=made.weights.digest,
        weights_kind=spec.weights.kind,
        weights_origin=made.weights.origin,
        precision=Precision.FP32,
        format=spec.format,
        manifest=manifest,
    )
    artifact = artifacts.store(made.folder, new, context.url)
    context.say(f"Stored as artifact {artifact.digest[:12]} ({artifact.size_bytes / 1e6:.1f} MB).")
    return artifact.digest

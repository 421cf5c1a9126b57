"""`artifacts`: lists and removes exports and builds, and shows the layer report of a build."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from engine.build.int8.layer_reports import load_layer_report, most_sensitive_layers
from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.errors import InvalidRequest
from engine.jobs import workspaces
from engine.results.cleanup import (
    StoredArtifact,
    disk_usage_bytes,
    remove_unused_artifacts,
    stored_artifacts,
)
from engine.store.artifacts import find_by_digest
from engine.store.database import prepare_database
from engine.store.int8_report import Int8Build, Int8Report, LayerReport, MergedGroups
from engine.store.manifest import BuildDetails, BuildManifest, Fp16Build

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_artifacts(json: Json = False) -> None:
    """Lists all exports and builds, with their size on disk (MB) and what uses them.

    Example: `python -m engine artifacts list`
    """
    artifacts = stored_artifacts(prepare_database())
    if json:
        emit_json([_artifact_document(artifact) for artifact in artifacts])
        return
    _emit_artifacts("Artifacts", artifacts)
    removable = sum(artifact.bytes_on_disk for artifact in artifacts if artifact.removable)
    note(f"{len(artifacts)} artifacts; `artifacts clean` would free {removable / 1e6:,.1f} MB.")


@app.command("clean")
def clean_artifacts(
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them. Without it they are only listed.")
    ] = False,
    json: Json = False,
) -> None:
    """Lists artifacts that no measurement uses, and removes them with --yes.

    Temporary files that killed jobs have left are removed, too.

    Example: `python -m engine artifacts clean --yes`
    """
    url = prepare_database()
    if yes:
        unused = remove_unused_artifacts(url)
    else:
        unused = [a for a in stored_artifacts(url) if a.removable]
    temporary = workspaces.abandoned(url)
    temporary_bytes = sum(disk_usage_bytes(path) for path in temporary)
    if yes:
        workspaces.remove(temporary)
    if json:
        emit_json(
            {
                "removed": yes,
                "artifacts": [_artifact_document(artifact) for artifact in unused],
                "temporary": len(temporary),
                "temporary_bytes": temporary_bytes,
            }
        )
        return
    if unused:
        _emit_artifacts("Removed" if yes else "To be removed", unused)
    verb = "removed" if yes else "would be removed"
    if temporary:
        note(f"Temporary files of killed jobs, {temporary_bytes / 1e6:,.1f} MB: {verb}.")
    way_out = "" if yes else "; `artifacts clean --yes` removes them"
    size_mb = sum(artifact.bytes_on_disk for artifact in unused) / 1e6
    if not unused:
        note("No artifact is unused.")
        return
    note(f"{len(unused)} artifacts of {size_mb:,.1f} MB {verb}{way_out}.")


@app.command("report")
def report_layers(
    digest: Annotated[
        str,
        typer.Argument(help="Digest of an int8 or fp16 build; its first digits are enough."),
    ],
    all_layers: Annotated[
        bool, typer.Option("--all", help="Show all layers, in graph order.")
    ] = False,
    json: Json = False,
) -> None:
    """Shows the quantization error of each layer of an int8 build.

    By default the ten layers with the lowest SQNR of the logits (dB; higher is better) are shown.
    Of an fp16 build the nodes that stay in fp32 are shown, with the reason.

    Example: `python -m engine artifacts report 3f2a91`
    """
    artifact = find_by_digest(digest, prepare_database())
    build, report = BuildManifest.from_artifact(artifact).build, load_layer_report(artifact.digest)
    document = report or build.half
    if document is None:
        raise InvalidRequest(
            f"Artifact {artifact.digest[:12]} ({artifact.precision}) has no report of its layers: "
            f"only int8 and fp16 builds have one, and not those of early versions; build it again."
        )
    if json:
        emit_json(document.dump())
    elif report is None:
        _show_fp16(artifact.model_id, build)
    else:
        _show_layers(artifact.model_id, report, build.quantization or Int8Build(), all_layers)


def _show_layers(model_id: str, report: Int8Report, build: Int8Build, all_layers: bool) -> None:
    layers = report.layers if all_layers else most_sensitive_layers(report.layers, 10)
    emit_table(
        f"{model_id} int8: {'all layers' if all_layers else 'the ten worst layers'}",
        [
            "layer",
            "precision",
            "MACs",
            "logits SQNR (dB)",
            "weights SQNR (dB)",
            "output SQNR (dB)",
            "range",
            "clipped",
            "reason",
        ],
        [_layer_row(layer) for layer in layers],
    )
    changed = report.changed_classes
    note(
        f"{report.macs_in_int8:.1%} of the multiply-accumulates are in int8. "
        f"Top-1 agreement with fp32: {changed.images - changed.changed}/{changed.images} images."
    )
    if build.target is not None:
        note(f"int8 target: {build.target.summary}: {build.target.why}.")
    if build.bound is not None:
        note(f"Accuracy constraint (95 % intervals): {build.bound.sentence()}.")
    if report.stages:
        stages = ", ".join(
            f"{stage.stage.lower()} {stage.seconds:.1f} s" for stage in report.stages
        )
        note(f"Time of the build by stage: {stages}.")
    if build.merged_groups is not None:
        _show_merged_groups(model_id, build.merged_groups)


def _show_merged_groups(model_id: str, merged: MergedGroups) -> None:
    emit_table(
        f"{model_id} int8: grouped convolutions",
        ["shape", "layers", "groups merged into one", "CPU ms by groups merged"],
        [
            [
                one.shape,
                str(len(one.layers)),
                str(one.factor),
                ", ".join(f"{factor}: {ms:.3g}" for factor, ms in one.ms_by_factor.items()) or "–",
            ]
            for one in merged.shapes
        ],
    )
    note(merged.sentence())


def _show_fp16(model_id: str, build: BuildDetails) -> None:
    half = build.half or Fp16Build()
    agreement, overflow_check = half.agreement, half.checked
    if half.kept_in_float:
        emit_table(
            f"{model_id} fp16: nodes that stay in fp32",
            ["node", "operator", "reason"],
            [[node.node, node.op, node.reason] for node in half.kept_in_float],
        )
    else:
        note(f"All nodes of {model_id} are in fp16: all values of the check fit its range.")
    note(f"Largest absolute value: {half.largest.value:.4g}, in {half.largest.tensor}.")
    note(
        overflow_check.note
        or f"Overflow check: {overflow_check.images} images of {overflow_check.dataset}."
    )
    note(
        f"Top-1 agreement with fp32, with all stored values rounded to fp16: "
        f"{agreement.same_class}/{agreement.images} images "
        f"(logits SQNR {agreement.signal_db:.0f} dB)."
    )
    note(f"Execution on this kind of CPU: {build.execution}: {build.execution_why}.")


def _layer_row(layer: LayerReport) -> list[str]:
    def number(value: float | None, form: str = ".1f") -> str:
        return "–" if value is None else format(value, form)

    return [
        layer.layer,
        layer.precision,
        number(layer.macs_share, ".1%"),
        number(layer.effect_db),
        number(layer.weights_sqnr_db),
        number(layer.output_sqnr_db),
        f"{layer.low:.3g} to {layer.high:.3g}" if layer.low is not None else "–",
        number(layer.saturated, ".2%"),
        layer.reason or "",
    ]


def _artifact_document(artifact: StoredArtifact) -> dict[str, object]:
    return {**asdict(artifact), "removable": artifact.removable}


def _emit_artifacts(title: str, artifacts: list[StoredArtifact]) -> None:
    emit_table(
        title,
        ("artifact", "model", "precision", "kind", "MB", "used by"),
        [
            (
                artifact.digest[:12],
                artifact.model_id,
                artifact.precision,
                artifact.kind,
                artifact.bytes_on_disk / 1e6,
                ", ".join(artifact.used_by) or "nothing",
            )
            for artifact in artifacts
        ],
    )

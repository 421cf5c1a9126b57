"""`artifacts`: list, clean."""

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
from engine.store.int8_report import Int8Build, Int8Report, LayerReport
from engine.store.manifest import BuildDetails, BuildManifest, Fp16Build

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_artifacts(json: Json = False) -> None:
    """Lists every artifact with its bytes on disk and what rests on it.

    Example: `python -m engine artifacts list`
    """
    found = stored_artifacts(prepare_database())
    if json:
        emit_json([_describe(one) for one in found])
        return
    _table("Artifacts", found)
    free = sum(one.bytes_on_disk for one in found if one.removable)
    note(f"{len(found)} artifacts; `artifacts clean` would free {free / 1e6:,.1f} MB.")


@app.command("clean")
def clean_artifacts(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else only say which.")] = False,
    json: Json = False,
) -> None:
    """Removes artifacts that no measurement rests on, or says which they are.

    Example: `python -m engine artifacts clean --yes`
    """
    url = prepare_database()
    gone = (
        remove_unused_artifacts(url)
        if yes
        else [one for one in stored_artifacts(url) if one.removable]
    )
    left = workspaces.abandoned(url)
    left_bytes = sum(disk_usage_bytes(path) for path in left)
    if yes:
        workspaces.remove(left)
    if json:
        about = {"temporary": len(left), "temporary_bytes": left_bytes}
        emit_json({"removed": yes, "artifacts": [_describe(one) for one in gone], **about})
        return
    if gone:
        _table("Removed" if yes else "To be removed", gone)
    size = sum(one.bytes_on_disk for one in gone) / 1e6
    done = "removed" if yes else "would be removed; `artifacts clean --yes` removes them"
    if left:
        gone_too = "removed" if yes else "would go, too"
        note(f"What killed jobs left half-made, {left_bytes / 1e6:,.1f} MB: {gone_too}.")
    note(f"{len(gone)} artifacts of {size:,.1f} MB {done}.")


@app.command("report")
def report_layers(
    digest: Annotated[str, typer.Argument(help="An int8 build; the first digits suffice.")],
    every: Annotated[bool, typer.Option("--all", help="Every layer, in graph order.")] = False,
    json: Json = False,
) -> None:
    """Shows what int8 did to each layer (the ten that disturb the scores most, or all).

    Of an fp16 build it shows what stays in float, and why.

    Example: `python -m engine artifacts report 3f2a91`
    """
    artifact = find_by_digest(digest, prepare_database())
    build, report = BuildManifest.of(artifact).build, load_layer_report(artifact.digest)
    about = report or build.half
    if about is None:
        raise InvalidRequest(
            f"Artifact {artifact.digest[:12]} ({artifact.precision}) has no report of its layers: "
            f"only int8 and fp16 builds made since there are reports have one."
        )
    if json:
        emit_json(about.dump())
    elif report is None:
        _show_half(artifact.model_id, build)
    else:
        _show_layers(artifact.model_id, report, build.quantization or Int8Build(), every)


def _show_layers(model_id: str, report: Int8Report, made: Int8Build, every: bool) -> None:
    layers = report.layers if every else most_sensitive_layers(report.layers, 10)
    emit_table(
        f"{model_id} int8: {'all layers' if every else 'the ten worst layers'}",
        ["layer", "in", "MACs", "scores dB", "weights dB", "output dB", "range", "beyond", "why"],
        [_layer_row(layer) for layer in layers],
    )
    changed = report.changed_classes
    note(
        f"{report.macs_in_int8:.1%} of the multiply-accumulates in int8; "
        f"{changed.changed} of {changed.images} images get another class than in fp32."
    )
    if made.target is not None:
        note(f"Made for {made.target.summary}: {made.target.why}.")
    if made.bound is not None:
        note(f"Bound on the drop (limits of 95 %): {made.bound.sentence()}.")


def _show_half(model_id: str, build: BuildDetails) -> None:
    half = build.half or Fp16Build()
    kept, found, checked = half.kept_in_float, half.agreement, half.checked
    if kept:
        emit_table(
            f"{model_id} fp16: what stays in float",
            ["node", "operator", "why"],
            [[one.node, one.op, one.reason] for one in kept],
        )
    else:
        note(f"Nothing of {model_id} stays in float: all that was seen fits half precision.")
    note(f"The largest value seen is {half.largest.value:.4g}, in {half.largest.tensor}.")
    note(checked.note or f"Checked on {checked.images} images of {checked.dataset}.")
    note(
        f"{found.same_class} of {found.images} images get the class that fp32 gives, with "
        f"every stored value rounded ({found.signal_db:.0f} dB of signal)."
    )
    note(f"On this kind of CPU it is {build.execution}: {build.execution_why}.")


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


def _describe(one: StoredArtifact) -> dict[str, object]:
    return {**asdict(one), "removable": one.removable}


def _table(title: str, found: list[StoredArtifact]) -> None:
    emit_table(
        title,
        ("artifact", "model", "precision", "kind", "MB", "used by"),
        [
            (
                one.digest[:12],
                one.model_id,
                one.precision,
                one.kind,
                one.bytes_on_disk / 1e6,
                ", ".join(one.used_by) or "nothing",
            )
            for one in found
        ],
    )

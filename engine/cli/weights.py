"""`weights`: add, list, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.catalog.models import find_model
from engine.cli.options import Json, WeightsKey
from engine.cli.output import emit_json, emit_table, note
from engine.store.database import prepare_database
from engine.weights.cache import recorded_digest
from engine.weights.lookup import all_downloaded
from engine.weights.registry import all_registered, remove_registration

app = typer.Typer(no_args_is_help=True)
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="The model that the file holds the weights of.")
]


@app.command("add")
def add(
    file: Annotated[
        Path, typer.Argument(help="A .pth, .safetensors, .pdparams or .pdiparams file.")
    ],
    model: ModelOption,
    weights_key: WeightsKey = None,
    json: Json = False,
) -> None:
    """Keeps a file as a model's pretrained weights, after reading it into the model.

    From then on `--weights pretrained` means this file, without any network.

    Example: `python -m engine weights add SENet154_vd_pretrained.pdparams -m ppcls/senet154`
    """
    from engine.export.weights_registration import register

    found = find_model(model)
    note(f"Reading {file} into {model}.")
    say = lambda remark: note(f"Note: {remark}")  # noqa: E731
    kept = register(file, found, prepare_database(), weights_key, say)
    if json:
        about = {"model": model, "path": str(kept.path), "sha256": kept.digest}
        emit_json(about | ({"key": kept.key} if kept.key else {}))
    else:
        note(f"Registered as the pretrained weights of {model}: SHA-256 {kept.digest[:12]}.")


@app.command("list")
def list_weights(json: Json = False) -> None:
    """Lists the weights on this machine: registered by hand, and downloaded.

    Example: `python -m engine weights list`
    """
    rows = [
        {
            "model": model,
            "origin": "registered by hand",
            "path": str(file.path),
            "size_mb": file.path.stat().st_size / 1e6 if file.path.is_file() else None,
            "sha256": file.digest,
        }
        for model, file in all_registered()
    ]
    rows += [
        {
            "model": model,
            "origin": "published",
            "path": str(path),
            "size_mb": path.stat().st_size / 1e6,
            "sha256": recorded_digest(path),
        }
        for model, path in all_downloaded()
    ]
    if json:
        emit_json(rows)
        return
    emit_table(
        "Weights on this machine",
        ("model", "origin", "file", "MB", "SHA-256"),
        [
            (r["model"], r["origin"], Path(str(r["path"])).name, r["size_mb"], _short(r["sha256"]))
            for r in rows
        ],
    )
    if not rows:
        note("None yet: `--weights pretrained` downloads them, `weights add` registers a file.")


@app.command("remove")
def remove(model: ModelOption, json: Json = False) -> None:
    """Ends a registration: `pretrained` means the published weights again.

    Example: `python -m engine weights remove -m ppcls/senet154`
    """
    remove_registration(find_model(model))
    if json:
        emit_json({"model": model, "registered": False})
    else:
        note(f"No weights are registered for {model} any more.")


def _short(digest: object) -> str | None:
    return str(digest)[:12] if digest else None

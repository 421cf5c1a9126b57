"""Commands `weights`: add, list, remove."""

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
ModelOption = Annotated[str, typer.Option("--model", "-m", help="The model of these weights.")]


@app.command("add")
def add(
    file: Annotated[
        Path, typer.Argument(help="A .pth, .safetensors, .pdparams or .pdiparams file.")
    ],
    model: ModelOption,
    weights_key: WeightsKey = None,
    json: Json = False,
) -> None:
    """Registers a file as a model's pretrained weights, after loading it into the model.

    `--weights pretrained` then means this file, and nothing is downloaded.

    Example: `python -m engine weights add SENet154_vd_pretrained.pdparams -m ppcls/senet154`
    """
    from engine.export.weights_registration import register

    catalog_model = find_model(model)
    note(f"Loading {file} into {model}.")
    report = lambda remark: note(f"Note: {remark}")  # noqa: E731
    weights = register(file, catalog_model, prepare_database(), weights_key, report)
    if json:
        about = {"model": model, "path": str(weights.path), "sha256": weights.digest}
        emit_json(about | ({"key": weights.key} if weights.key else {}))
    else:
        note(f"Registered as the pretrained weights of {model}: SHA-256 {weights.digest[:12]}.")


@app.command("list")
def list_weights(json: Json = False) -> None:
    """Lists the weights files on this machine: registered and downloaded.

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
        note("None yet: `--weights pretrained` downloads weights, `weights add` registers a file.")


@app.command("remove")
def remove(model: ModelOption, json: Json = False) -> None:
    """Removes a registration: `pretrained` means the published weights again.

    Example: `python -m engine weights remove -m ppcls/senet154`
    """
    remove_registration(find_model(model))
    if json:
        emit_json({"model": model, "registered": False})
    else:
        note(f"The registration of {model} is removed; `pretrained` means the published weights.")


def _short(digest: object) -> str | None:
    return str(digest)[:12] if digest else None

"""`package`: a build with all that is needed to run it elsewhere, as a zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, note
from engine.cli.parsing import find_build
from engine.results.package import package_name, package_runtime, write_package
from engine.store.database import prepare_database
from engine.text import size


def package(
    build: Annotated[
        str,
        typer.Argument(
            help="A build as model:precision (the newest one), or the first digits of its digest."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Zip file to write. Default: named by the build, in this folder."
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            "-r",
            help="onnxruntime or openvino. Default: the first that executes the precision.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Writes the package of a build: model, preprocessing, labels, a script that runs it.

    The script `classify.py` needs only numpy, Pillow and the runtime, and prepares images with the
    steps of the measurement. Provenance, measured figures and a license note are in it too.

    Example: `python -m engine package timm/seresnet50:int8 -o seresnet50.zip`
    """
    url = prepare_database()
    artifact = find_build(build, url)
    chosen = package_runtime(artifact, runtime)
    path = output or Path(package_name(artifact, chosen))
    names = write_package(artifact, path, url, chosen)
    written = path.stat().st_size
    if json:
        document = {"file": str(path), "bytes": written, "artifact": artifact.digest}
        emit_json({**document, "runtime": chosen, "files": names})
        return
    note(f"{path} written, {size(written)}: {', '.join(names)}.")

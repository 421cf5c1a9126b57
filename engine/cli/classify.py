"""`classify`: the top-5 classes of image files, with one or more builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from db.enums import ArtifactKind
from db.models import Artifact
from db.session import reading
from engine.classify import client
from engine.classify.predict import Classification, Classifier
from engine.cli.options import Json, Precisions, Runtimes
from engine.cli.output import emit_json, emit_table, note
from engine.cli.parsing import possible_runtimes
from engine.errors import ArtifactMissing, ImageRejected
from engine.runtimes.registry import RUNTIMES, label_of, why_not
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.store import artifacts
from engine.store.database import prepare_database


def classify(
    images: Annotated[list[Path], typer.Argument(help="Image files, such as JPEG or PNG.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Use the newest builds of this model.")
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option("--artifact", "-a", help="Digest of a build. Repeat the option for several."),
    ] = None,
    precision: Precisions = None,
    runtime: Runtimes = None,
    json: Json = False,
) -> int:
    """Classifies image files: the top-5 classes with their probabilities, and the time taken.

    Without --model and --artifact the builds of the model that was built last are used. The time
    (ms) includes reading and preparing the image. Each runtime has a process of its own.

    Example: `python -m engine classify dog.jpg -m timm/seresnet50 -p fp32 -p int8`
    """
    url = prepare_database()
    builds = [artifacts.find_by_digest(digest, url) for digest in artifact or []]
    builds = builds or newest_builds(url, model, [str(p) for p in precision or []])
    classifiers = [found for build in builds for found in _classifiers(build, runtime)]
    answers: list[dict[str, Any]] = []
    rejected = 0
    for path in images:
        for build, name, classify_file in classifiers:
            try:
                result = classify_file(path)
            except ImageRejected as error:
                rejected += 1
                answers.append({"image": str(path), "error": str(error)})
                note(f"Error: {error}")
                break
            answers.append(_answer_document(path, build, name, result))
            if not json:
                _show(path, build, name, result)
    if json:
        emit_json(answers)
    return 1 if rejected else 0


def _classifiers(
    build: Artifact, runtimes: list[str] | None
) -> list[tuple[Artifact, str, Callable[[Path], Classification]]]:
    """The build with each runtime, as functions; without a choice, the first that executes it."""
    chosen = runtimes or [
        next((r for r in RUNTIMES if why_not(r, build.precision) is None), DEFAULT_RUNTIME)
    ]
    return [
        (build, name, _function(build, name))
        for name in possible_runtimes(chosen, build, CPU_PROVIDER)
    ]


def _function(build: Artifact, runtime: str) -> Callable[[Path], Classification]:
    """Classifies a file here, or in the process of another runtime than the default one."""
    if runtime == DEFAULT_RUNTIME:
        return Classifier(build).classify
    return lambda path: client.classify(build.digest, _content(path), path.name, runtime)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageRejected(f"{path} cannot be read: {error.strerror or error}.") from error


def newest_builds(url: str, model: str | None, precisions: list[str]) -> list[Artifact]:
    """The newest build of a model at each precision; without a model, of the one built last."""
    statement = select(Artifact).where(Artifact.kind == ArtifactKind.BUILD)
    with reading(url) as session:
        rows = list(session.scalars(statement.order_by(Artifact.created_at.desc())))
    rows = [row for row in rows if artifacts.folder_of(row.digest).is_dir()]
    if model is None and rows:
        model = rows[0].model_id
    newest: dict[str, Artifact] = {}
    for row in rows:
        if row.model_id == model and (not precisions or row.precision in precisions):
            newest.setdefault(row.precision, row)
    if not newest:
        of_model = f"of {model} " if model else ""
        raise ArtifactMissing(f"There is no build {of_model}yet; make one with `build` or `demo`.")
    return [newest[name] for name in sorted(newest)]


def _answer_document(
    path: Path, artifact: Artifact, runtime: str, result: Classification
) -> dict[str, Any]:
    return {
        "image": str(path),
        "model": artifact.model_id,
        "precision": artifact.precision,
        "runtime": runtime,
        "artifact": artifact.digest,
        "top5": [asdict(prediction) for prediction in result.predictions],
        "decode_ms": result.decode_ms,
        "prepare_ms": result.prepare_ms,
        "infer_ms": result.infer_ms,
    }


def _show(path: Path, artifact: Artifact, runtime: str, result: Classification) -> None:
    total = result.decode_ms + result.prepare_ms + result.infer_ms
    build = f"{artifact.model_id} {artifact.precision} in {label_of(runtime)}"
    title = f"{path.name}, {build}, {total:.0f} ms"
    rows = [
        (g.name, f"{100 * g.probability:.1f} %", "█" * round(30 * g.probability))
        for g in result.predictions
    ]
    emit_table(title, ("class", "probability", ""), rows)

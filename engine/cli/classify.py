"""`classify`: top-5 of image files with one or more builds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from db.enums import ArtifactKind
from db.models import Artifact
from db.session import reading
from engine.classify.predict import Classification, Classifier
from engine.cli.options import Json, Precisions
from engine.cli.output import emit_json, emit_table, note
from engine.errors import ArtifactMissing, ImageRejected
from engine.store import artifacts
from engine.store.database import prepare_database


def classify(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The newest builds of this model.")
    ] = None,
    artifact: Annotated[
        list[str] | None, typer.Option("--artifact", "-a", help="An artifact's digest; repeatable.")
    ] = None,
    precision: Precisions = None,
    json: Json = False,
) -> int:
    """Classifies images: the five best classes with their probabilities, and the time it took.

    Without --model and --artifact the newest build is used.

    Example: `python -m engine classify dog.jpg -m timm/seresnet50 -p fp32 -p int8`
    """
    url = prepare_database()
    builds = [artifacts.find_by_digest(digest, url) for digest in artifact or []]
    builds = builds or newest_builds(url, model, [str(p) for p in precision or []])
    classifiers = [Classifier(build) for build in builds]
    answers: list[dict[str, Any]] = []
    rejected = 0
    for path in images:
        for classifier in classifiers:
            try:
                found = classifier.classify(path)
            except ImageRejected as error:
                rejected += 1
                answers.append({"image": str(path), "error": str(error)})
                note(f"Error: {error}")
                break
            answers.append(_answer(path, classifier.artifact, found))
            if not json:
                _show(path, classifier.artifact, found)
    if json:
        emit_json(answers)
    return 1 if rejected else 0


def newest_builds(url: str, model: str | None, precisions: list[str]) -> list[Artifact]:
    """The newest build at each precision of a model, or of the model built last."""
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
        what = f"of {model} " if model else ""
        raise ArtifactMissing(f"There is no build {what}yet; make one with `build` or `demo`.")
    return [newest[name] for name in sorted(newest)]


def _answer(path: Path, artifact: Artifact, found: Classification) -> dict[str, Any]:
    return {
        "image": str(path),
        "model": artifact.model_id,
        "precision": artifact.precision,
        "artifact": artifact.digest,
        "top5": [
            {"index": g.index, "name": g.name, "probability": g.probability}
            for g in found.predictions
        ],
        "decode_ms": found.decode_ms,
        "prepare_ms": found.prepare_ms,
        "infer_ms": found.infer_ms,
    }


def _show(path: Path, artifact: Artifact, found: Classification) -> None:
    total = found.decode_ms + found.prepare_ms + found.infer_ms
    title = f"{path.name}, {artifact.model_id} {artifact.precision}, {total:.0f} ms"
    rows = [
        (g.name, f"{100 * g.probability:.1f} %", "█" * round(30 * g.probability))
        for g in found.predictions
    ]
    emit_table(title, ("class", "probability", ""), rows)

"""`classify`: the top-5 classes of images and of folders of images, with one or more builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from db.enums import ArtifactKind, WeightsKind
from db.models import Artifact
from db.session import reading
from engine.classify import client
from engine.classify.class_names import class_names_of
from engine.classify.predict import Classification, Classifier
from engine.classify.table import Predicted, agree, predict_row, prediction_rows, to_csv
from engine.classify.true_class import TrueClasses
from engine.cli.options import Json, Precisions, Runtimes
from engine.cli.output import emit_json, emit_table, note
from engine.cli.parsing import possible_runtimes
from engine.datasets.folders import scan_folder
from engine.errors import ArtifactMissing, ImageRejected, InvalidRequest
from engine.runtimes.registry import RUNTIMES, label_of, why_not
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME
from engine.store import artifacts
from engine.store.database import prepare_database

MAX_IN_FULL = 8
"""With more images, one row each is shown instead of the top-5 of each build."""


def classify(
    images: Annotated[
        list[Path], typer.Argument(help="Image files, such as JPEG or PNG, and folders of them.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Use the newest builds of this model.")
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option("--artifact", "-a", help="Digest of a build. Repeat the option for several."),
    ] = None,
    precision: Precisions = None,
    runtime: Runtimes = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print a CSV with one row per image and build.")
    ] = False,
    json: Json = False,
) -> int:
    """Classifies image files or folders: the top-5 classes with their probabilities.

    Without --model and --artifact the builds of the model that was built last are used, those with
    random weights only if there are no others. The time (ms) includes reading and preparing the
    image. Each runtime has a process of its own. Where the name of a file or of its folder tells
    the true class (`n01440764_18.JPEG`, `tench/18.jpg`), it is compared.

    Example: `python -m engine classify photos -m timm/seresnet50 -p fp32 -p int8 --csv`
    """
    if csv and json:
        raise InvalidRequest("Give --csv or --json, not both.")
    url = prepare_database()
    builds = [artifacts.find_by_digest(digest, url) for digest in artifact or []]
    builds = builds or newest_builds(url, model, [str(p) for p in precision or []])
    classifiers = [found for build in builds for found in _classifiers(build, runtime)]
    truths = {build.digest: TrueClasses(class_names_of(build)) for build, *_ in classifiers}
    files = image_files(images)
    in_full = not csv and not json and len(files) <= MAX_IN_FULL
    answers: list[dict[str, Any]] = []
    predicted: list[Predicted] = []
    rejected = 0
    for path in files:
        for build, name, classify_file in classifiers:
            try:
                result = classify_file(path)
            except ImageRejected as error:
                rejected += 1
                answers.append({"image": str(path), "error": str(error)})
                note(f"Error: {error}")
                break
            one = predict_row(str(path), build, name, result, truths[build.digest])
            predicted.append(one)
            answers.append(_answer_document(one))
            if in_full:
                _show(path, build, name, result)
    if json:
        emit_json(answers)
    elif csv:
        print(to_csv(prediction_rows(predicted)), end="")
    elif not in_full:
        _show_table(predicted)
    if not json and not csv:
        _show_right(predicted)
    return 1 if rejected else 0


def image_files(paths: list[Path]) -> list[Path]:
    """The files, with those in the folders (recursively, sorted) in place of each folder."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = scan_folder(path).images
        if not inside:
            raise InvalidRequest(f"The folder {path} holds no image of a supported format.")
        found += [path / name for name in inside]
    return found


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
    """The newest build of a model at each precision; without a model, of the one built last.

    Builds with random weights come after all others.
    """
    statement = select(Artifact).where(Artifact.kind == ArtifactKind.BUILD)
    with reading(url) as session:
        rows = list(session.scalars(statement.order_by(Artifact.created_at.desc())))
    rows = [row for row in rows if artifacts.is_stored(row.digest)]
    rows.sort(key=lambda row: row.weights_kind == WeightsKind.RANDOM)
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


def _answer_document(one: Predicted) -> dict[str, Any]:
    return {
        "image": one.image,
        "model": one.build.model_id,
        "precision": one.build.precision,
        "runtime": one.runtime,
        "artifact": one.build.digest,
        "top5": [asdict(prediction) for prediction in one.result.predictions],
        "true_index": one.true_index,
        "true_class": one.true_class,
        "correct": one.correct,
        "decode_ms": one.result.decode_ms,
        "prepare_ms": one.result.prepare_ms,
        "infer_ms": one.result.infer_ms,
    }


def _build_name(one: Predicted) -> str:
    return f"{one.build.model_id} {one.build.precision} in {label_of(one.runtime)}"


def _show_table(predicted: list[Predicted]) -> None:
    """One row per image: true class, top-1 of each build, whether they agree."""
    builds = list(dict.fromkeys(_build_name(one) for one in predicted))
    by_image: dict[str, list[Predicted]] = {}
    for one in predicted:
        by_image.setdefault(one.image, []).append(one)
    rows = []
    for image, ones in by_image.items():
        top = {_build_name(one): one.result.predictions[0] for one in ones}
        cells = [
            f"{top[b].name} {100 * top[b].probability:.1f} %" if b in top else None for b in builds
        ]
        same = "yes" if agree([one.result for one in ones]) else "no"
        rows.append([image, ones[0].true_class, *cells, *([same] if len(builds) > 1 else [])])
    last = ["same top-1"] if len(builds) > 1 else []
    emit_table("Top-1", ["image", "true class", *builds, *last], rows)


def _show_right(predicted: list[Predicted]) -> None:
    """How many top-1 are right, by build, where true classes are known."""
    judged = [one for one in predicted if one.correct is not None]
    for name in dict.fromkeys(_build_name(one) for one in judged):
        its = [one for one in judged if _build_name(one) == name]
        right = sum(bool(one.correct) for one in its)
        note(f"{name}: top-1 right for {right} of {len(its)} images with a known class.")


def _show(path: Path, artifact: Artifact, runtime: str, result: Classification) -> None:
    total = result.decode_ms + result.prepare_ms + result.infer_ms
    build = f"{artifact.model_id} {artifact.precision} in {label_of(runtime)}"
    title = f"{path.name}, {build}, {total:.0f} ms"
    rows = [
        (g.name, f"{100 * g.probability:.1f} %", "█" * round(30 * g.probability))
        for g in result.predictions
    ]
    emit_table(title, ("class", "probability", ""), rows)

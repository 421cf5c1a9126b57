"""`vamp_npz_decode`, `eval_topk`, `eval_imagenet`: outputs of the vendor's benchmark, scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from db.enums import Precision
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.option_grouping import grouped
from engine.cli.output import emit_json, note, progress_bar
from engine.common.files import atomic_write
from engine.common.stats import is_chance_level, wilson_interval
from engine.datasets.classes import ClassMatching, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.label_files import LabelOptions
from engine.errors import InvalidRequest, VaccFileInvalid
from engine.store.database import prepare_database
from engine.text import cut
from engine.vacc.decoding import Output, decode, pair
from engine.vacc.import_outputs import Said, record
from engine.vacc.labels import Truth, is_label_file, truth_of
from engine.vacc.name_scoring import Matches, by_index, by_name, by_name_of_lines, changes
from engine.vacc.npz import read_datalist, read_output
from engine.vacc.result_lines import (
    TOP,
    Ranked,
    format_lines,
    names_of,
    read_class_names,
    read_lines,
)

ByName = Annotated[
    bool, typer.Option("--by-name", help="Score as the old scripts do, and say what that changes.")
]
Label = Annotated[
    Path | None,
    typer.Option(
        "--label",
        help="Label file, as of `dataset add`; or class names, then the folder is a wnid.",
    ),
]
Record = Annotated[
    str | None,
    typer.Option(
        "--record", help="Record as an imported evaluation of this model, e.g. timm/seresnet50."
    ),
]
OnePrecision = Annotated[Precision, typer.Option("--precision", "-p", help="With --record.")]
Source = Annotated[str, typer.Option(help="With --record: the device and tool it ran on.")]
DatasetOption = Annotated[
    str, typer.Option("--dataset", "-d", help="With --record: a registered dataset, or a name.")
]


def vamp_npz_decode(
    npz_txt: Annotated[Path, typer.Argument(help="The list that was given to vamp.")],
    npz_dir: Annotated[Path, typer.Argument(help="The folder that vamp wrote.")],
    result_txt: Annotated[Path, typer.Argument(help="The result file to write.")],
    label_txt: Annotated[Path, typer.Argument(help="A class name a line.")],
    background: o.Background = None,
    old_ties: Annotated[
        bool,
        typer.Option(
            "--old-ties",
            help="Equal scores in the order numpy happens to sort them, as the old decoder has it; "
            "otherwise in the order of their class.",
        ),
    ] = False,
    json: o.Json = False,
) -> None:
    """Writes the five best classes of each output, one line each, for `eval_topk`.

    Example: `python -m engine vamp_npz_decode npz.txt output result.txt imagenet.txt`
    """
    names = read_class_names(label_txt)
    pairs = pair(read_datalist(npz_txt, must_exist=False), npz_dir)
    outputs = _decoded(pairs, None, background)
    if old_ties:
        outputs = [replace(one, ids=one.old_ids, scores=one.old_scores) for one in outputs]
    _write_lines(result_txt, outputs, names, label_txt.name)
    if json:
        emit_json({"images": len(outputs), "result": str(result_txt)})
    else:
        note(f"{len(outputs):,} images are in {result_txt}.")


@grouped
def eval_topk(
    result_txt: Annotated[Path, typer.Argument(help="A result file, from vamp_npz_decode.")],
    label: Label = None,
    *,
    labeling: g.Labeling,
    by_name_: ByName = False,
    record_: Record = None,
    precision: OnePrecision = Precision.INT8,
    source: Source = "",
    dataset: DatasetOption = "",
    json: o.Json = False,
) -> None:
    """Top-1 and top-5 of a result file, by class index; the truth is the image's folder.

    Example: `python -m engine eval_topk result.txt`
    """
    said = _said(record_, precision, source, dataset)
    lines = _lines_of(result_txt)
    ranked = list(read_lines(lines, result_txt.name))
    if not ranked:
        raise VaccFileInvalid(f"{result_txt} holds no results.")
    short = [one.path for one in ranked if len(one.ids) != TOP]
    if short:
        note(f"Warning: {len(short):,} images have not {TOP} lines (the first: {cut(short[0])}).")
    truth = truth_of([one.path for one in ranked], labeling.of(label))
    labels = truth.labels
    for text in truth.notes:
        note(text)
    ids = np.array([(*one.ids, *[-1] * TOP)[:TOP] for one in ranked], np.int64)
    ranks = _ranks(ids, labels)
    old = (lambda: by_name_of_lines(lines, result_txt.name)) if by_name_ else None
    scores = np.array([(*one.scores, *[0.0] * TOP)[:TOP] for one in ranked], np.float32)
    stems = [Path(one.path).stem for one in ranked]
    document = _judge(ranks, old, 3, len(truth.classes))
    _finish(document, said, stems, labels, ids, scores, json)


@grouped
def eval_imagenet(
    result_path: Annotated[Path, typer.Option("--result_path", help="The folder vamp wrote.")],
    datalist: Annotated[Path, typer.Option("--datalist", help="The list given to vamp.")],
    label: Label = None,
    *,
    labeling: g.Labeling,
    by_name_: ByName = False,
    result_lines: Annotated[
        Path | None, typer.Option("--result-lines", help="Write the old result file too.")
    ] = None,
    background: o.Background = None,
    record_: Record = None,
    precision: OnePrecision = Precision.INT8,
    source: Source = "",
    dataset: DatasetOption = "",
    json: o.Json = False,
) -> None:
    """Top-1 and top-5 of vamp's outputs, by class index.

    Example: `python -m engine eval_imagenet --result_path output --datalist npz.txt --label l.txt`
    """
    said = _said(record_, precision, source, dataset)
    inputs = read_datalist(datalist, must_exist=False)
    pairs = pair(inputs, result_path)
    truth, matching = _matched(pairs, labeling.of(label), background)
    labels = truth.labels
    outputs = [
        replace(one, ids=_classes_of(one.ids, matching), old_ids=_classes_of(one.old_ids, matching))
        for one in _decoded(pairs, matching.outputs_of_labels(labels), background)
    ]
    named = label is not None and not is_label_file(label)
    names = read_class_names(label) if label is not None and named else class_names()
    ranks = np.array([-1 if one.rank is None else one.rank for one in outputs])
    if result_lines is not None:
        _write_lines(result_lines, outputs, names, label.name if label else "the built-in list")

    def old() -> Matches:
        guesses = [names_of(one.old_ids, names, "the label file") for one in outputs]
        return by_name(guesses, labels)

    document = _judge(ranks, old if by_name_ else None, None, matching.outputs)
    ids = np.array([one.ids for one in outputs])
    shares = np.array([one.probabilities for one in outputs], np.float32)
    _finish(document, said, [path.stem for path in inputs], labels, ids, shares, json)


def _matched(
    pairs: list[tuple[Path, Path]], labeling: LabelOptions, background: int | None
) -> tuple[Truth, ClassMatching]:
    """The truth of the inputs, and how the scores of the first output go with its classes."""
    outputs = read_output(pairs[0][1]).size
    inputs = [given for given, _ in pairs]
    truth = truth_of(inputs, labeling, outputs - (background is not None))
    hint = "`eval_imagenet` takes `--background 0`"
    where = labeling.file.name if labeling.file else "of the folders"
    matching = match_outputs("The network", outputs, background, where, truth.classes, hint)
    for text in (*truth.notes, matching.assumed):
        if text:
            note(text)
    return truth, matching


def _classes_of(ids: tuple[int, ...], matching: ClassMatching) -> tuple[int, ...]:
    return tuple(int(index) for index in matching.classes_of_outputs(np.asarray(ids)))


def _said(model: str | None, precision: Precision, source: str, dataset: str) -> Said | None:
    if model is None:
        return None
    if not source or not dataset:
        raise InvalidRequest(
            "--record needs --source 'device, tool' and --dataset NAME, which stand beside the "
            "result."
        )
    return Said(model, precision, source, dataset)


def _decoded(
    pairs: list[tuple[Path, Path]], labels: np.ndarray | None, background: int | None
) -> list[Output]:
    with progress_bar() as progress:
        bar = progress.add_task("Outputs", total=len(pairs))
        return list(
            decode(
                pairs,
                labels,
                background,
                lambda done, total: progress.update(bar, completed=done),
            )
        )


def _write_lines(path: Path, outputs: list[Output], names: tuple[str, ...], file: str) -> None:
    with atomic_write(path) as part, part.open("w", encoding="utf-8") as stream:
        for one in outputs:
            ranked = Ranked(str(one.path), one.ids, one.scores, names_of(one.ids, names, file))
            stream.writelines(format_lines(ranked))


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise VaccFileInvalid(f"{path} cannot be read: {reason}.") from error


def _ranks(ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    hits = ids == labels[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1), -1)


def _judge(
    ranks: np.ndarray, old: Callable[[], Matches] | None, decimals: int | None, classes: int
) -> dict[str, object]:
    """Prints the verdict; by name where asked, with what that changes."""
    right = by_index(ranks)
    counts = right.counts()
    document: dict[str, object] = {
        "images": counts.images,
        "top1_count": counts.top1,
        "top5_count": counts.top5,
        "line": counts.line(decimals),
    }
    if old is not None:
        matches = old()
        top1, top5 = changes(right, matches)
        document |= {"line": matches.counts().line(decimals), "changed": [top1, top5]}
        rates = counts.line(decimals).removeprefix("[VACC]:  ")
        note(
            f"Scored by name. By index it is {rates}: the old scoring changes {top1:,} images in "
            f"top-1 and {top5:,} in top-5."
        )
    low, high = wilson_interval(counts.top1, counts.images)
    note(
        f"By index: top-1 {counts.top1:,} of {counts.images:,} (95 % interval {low:.2%} to "
        f"{high:.2%}), top-5 {counts.top5:,}."
    )
    if is_chance_level(counts.top1, counts.images, classes):
        note("Warning: that is what guessing gives; labels, class order or pairing do not match.")
    return document


def _finish(
    document: dict[str, object],
    said: Said | None,
    stems: list[str],
    labels: np.ndarray,
    ids: np.ndarray,
    scores: np.ndarray,
    json: bool,
) -> None:
    if said is not None:
        row, known = record(said, stems, labels, ids, scores, prepare_database())
        document["evaluation"] = row.id
        again = " before" if known else ""
        note(f"Recorded{again} as evaluation {row.id}, imported from {said.source}.")
    emit_json(document) if json else print(document["line"])

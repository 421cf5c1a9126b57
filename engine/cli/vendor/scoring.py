"""`vamp_npz_decode`, `eval_topk`, `eval_imagenet`: accuracy from the outputs of vamp."""

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
from engine.cli.option_groups import expand_groups
from engine.cli.output import emit_json, note, progress_bar
from engine.common.files import atomic_write
from engine.common.stats import is_chance_level, wilson_interval
from engine.datasets.classes import ClassMatching, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.label_files import LabelOptions
from engine.errors import InvalidRequest, VaccFileInvalid
from engine.store.database import prepare_database
from engine.text import cut
from engine.vacc.decoding import DecodedOutput, decode_outputs, pair_outputs
from engine.vacc.import_outputs import OutputDescription, record_outputs
from engine.vacc.labels import ImageLabels, find_labels, is_label_file
from engine.vacc.name_scoring import (
    Matches,
    count_changes,
    matches_by_index,
    matches_by_name,
    matches_by_name_in_lines,
)
from engine.vacc.npz import read_datalist, read_output
from engine.vacc.result_lines import (
    TOP,
    TopClasses,
    class_names_of,
    format_lines,
    read_class_names,
    read_lines,
)

ByName = Annotated[
    bool,
    typer.Option(
        "--by-name",
        help="Score by class name, as the vendor's old scripts do, and count the changed images.",
    ),
]
Label = Annotated[
    Path | None,
    typer.Option(
        "--label",
        help="Label file, in the format of `dataset add`; or a list of class names, then the "
        "folder of an image (wnid) is its label.",
    ),
]
Record = Annotated[
    str | None,
    typer.Option(
        "--record",
        help="Record the result as an imported evaluation of this model, such as timm/seresnet50.",
    ),
]
OnePrecision = Annotated[
    Precision, typer.Option("--precision", "-p", help="With --record: the precision of the model.")
]
Source = Annotated[
    str, typer.Option(help="With --record: the device and tool that produced the outputs.")
]
DatasetOption = Annotated[
    str, typer.Option("--dataset", "-d", help="With --record: a registered dataset, or a name.")
]


def vamp_npz_decode(
    npz_txt: Annotated[Path, typer.Argument(help="List of inputs that was given to vamp.")],
    npz_dir: Annotated[Path, typer.Argument(help="Folder of outputs that vamp wrote.")],
    result_txt: Annotated[Path, typer.Argument(help="Result file to write.")],
    label_txt: Annotated[Path, typer.Argument(help="Class names, one per line.")],
    background: o.BackgroundClass = None,
    old_ties: Annotated[
        bool,
        typer.Option(
            "--old-ties",
            help="Order equal scores as the vendor's old decoder does (numpy's argsort). Default: "
            "the lowest class index first.",
        ),
    ] = False,
    json: o.Json = False,
) -> None:
    """Writes the top-5 classes of each output file of vamp, one per line, for `eval_topk`.

    Example: `python -m engine vamp_npz_decode npz.txt output result.txt imagenet.txt`
    """
    names = read_class_names(label_txt)
    pairs = pair_outputs(read_datalist(npz_txt, must_exist=False), npz_dir)
    outputs = _decode_outputs(pairs, None, background)
    if old_ties:
        outputs = [replace(o, ids=o.old_ids, scores=o.old_scores) for o in outputs]
    _write_lines(result_txt, outputs, names, label_txt.name)
    if json:
        emit_json({"images": len(outputs), "result": str(result_txt)})
    else:
        note(f"Top-5 classes of {len(outputs):,} images are in {result_txt}.")


@expand_groups
def eval_topk(
    result_txt: Annotated[Path, typer.Argument(help="Result file, written by vamp_npz_decode.")],
    label: Label = None,
    *,
    labeling: g.LabelOptions,
    by_name_: ByName = False,
    record_: Record = None,
    precision: OnePrecision = Precision.INT8,
    source: Source = "",
    dataset: DatasetOption = "",
    json: o.Json = False,
) -> None:
    """Computes top-1 and top-5 from a result file; the image's folder is its label.

    Classes are compared by index; --by-name compares names, as the vendor's old scripts do.

    Example: `python -m engine eval_topk result.txt`
    """
    description = _import_description(record_, precision, source, dataset)
    lines = _read_text_lines(result_txt)
    ranked = list(read_lines(lines, result_txt.name))
    if not ranked:
        raise VaccFileInvalid(f"{result_txt} contains no results.")
    incomplete = [image.path for image in ranked if len(image.ids) != TOP]
    if incomplete:
        note(
            f"Warning: {len(incomplete):,} images do not have {TOP} lines (the first: "
            f"{cut(incomplete[0])})."
        )
    truth = find_labels([image.path for image in ranked], labeling.labeling_of(label))
    labels = truth.labels
    for text in truth.notes:
        note(text)
    ids = np.array([(*image.ids, *[-1] * TOP)[:TOP] for image in ranked], np.int64)
    ranks = _ranks(ids, labels)
    name_matches = (lambda: matches_by_name_in_lines(lines, result_txt.name)) if by_name_ else None
    scores = np.array([(*image.scores, *[0.0] * TOP)[:TOP] for image in ranked], np.float32)
    stems = [Path(image.path).stem for image in ranked]
    document = _report_accuracy(ranks, name_matches, 3, len(truth.classes))
    _record_and_print(document, description, stems, labels, ids, scores, json)


@expand_groups
def eval_imagenet(
    result_path: Annotated[
        Path, typer.Option("--result_path", help="Folder of outputs that vamp wrote.")
    ],
    datalist: Annotated[
        Path, typer.Option("--datalist", help="List of inputs that was given to vamp.")
    ],
    label: Label = None,
    *,
    labeling: g.LabelOptions,
    by_name_: ByName = False,
    result_lines: Annotated[
        Path | None,
        typer.Option(
            "--result-lines", help="Also write the result file of vamp_npz_decode to this path."
        ),
    ] = None,
    background: o.BackgroundClass = None,
    record_: Record = None,
    precision: OnePrecision = Precision.INT8,
    source: Source = "",
    dataset: DatasetOption = "",
    json: o.Json = False,
) -> None:
    """Computes top-1 and top-5 from the output files of vamp.

    Classes are compared by index; --by-name compares names, as the vendor's old scripts do.

    Example: `python -m engine eval_imagenet --result_path output --datalist npz.txt --label l.txt`
    """
    description = _import_description(record_, precision, source, dataset)
    inputs = read_datalist(datalist, must_exist=False)
    pairs = pair_outputs(inputs, result_path)
    truth, matching = _match_classes(pairs, labeling.labeling_of(label), background)
    labels = truth.labels
    outputs = [
        replace(o, ids=_classes_of(o.ids, matching), old_ids=_classes_of(o.old_ids, matching))
        for o in _decode_outputs(pairs, matching.outputs_of_labels(labels), background)
    ]
    has_names = label is not None and not is_label_file(label)
    names = read_class_names(label) if label is not None and has_names else class_names()
    ranks = np.array([-1 if output.rank is None else output.rank for output in outputs])
    if result_lines is not None:
        _write_lines(result_lines, outputs, names, label.name if label else "the built-in list")

    def name_matches() -> Matches:
        guesses = [class_names_of(o.old_ids, names, "the label file") for o in outputs]
        return matches_by_name(guesses, labels)

    document = _report_accuracy(ranks, name_matches if by_name_ else None, None, matching.outputs)
    ids = np.array([output.ids for output in outputs])
    probabilities = np.array([output.probabilities for output in outputs], np.float32)
    _record_and_print(
        document, description, [path.stem for path in inputs], labels, ids, probabilities, json
    )


def _match_classes(
    pairs: list[tuple[Path, Path]], labeling: LabelOptions, background: int | None
) -> tuple[ImageLabels, ClassMatching]:
    """The labels of the inputs, and how the model's outputs correspond to the classes."""
    outputs = read_output(pairs[0][1]).size
    inputs = [path for path, _ in pairs]
    truth = find_labels(inputs, labeling, outputs - (background is not None))
    hint = "`eval_imagenet` takes `--background 0`"
    where = labeling.file.name if labeling.file else "of the folders"
    matching = match_outputs("The network", outputs, background, where, truth.classes, hint)
    for text in (*truth.notes, matching.assumed):
        if text:
            note(text)
    return truth, matching


def _classes_of(ids: tuple[int, ...], matching: ClassMatching) -> tuple[int, ...]:
    return tuple(int(index) for index in matching.classes_of_outputs(np.asarray(ids)))


def _import_description(
    model: str | None, precision: Precision, source: str, dataset: str
) -> OutputDescription | None:
    if model is None:
        return None
    if not source or not dataset:
        raise InvalidRequest(
            "--record needs --source 'device, tool' and --dataset NAME, which are shown with the "
            "result."
        )
    return OutputDescription(model, precision, source, dataset)


def _decode_outputs(
    pairs: list[tuple[Path, Path]], labels: np.ndarray | None, background: int | None
) -> list[DecodedOutput]:
    with progress_bar() as progress:
        bar = progress.add_task("Outputs", total=len(pairs))
        return list(
            decode_outputs(
                pairs,
                labels,
                background,
                lambda done, total: progress.update(bar, completed=done),
            )
        )


def _write_lines(
    path: Path, outputs: list[DecodedOutput], names: tuple[str, ...], file: str
) -> None:
    with atomic_write(path) as part, part.open("w", encoding="utf-8") as stream:
        for output in outputs:
            top = class_names_of(output.ids, names, file)
            ranked = TopClasses(str(output.path), output.ids, output.scores, top)
            stream.writelines(format_lines(ranked))


def _read_text_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise VaccFileInvalid(f"{path} cannot be read: {reason}.") from error


def _ranks(ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    hits = ids == labels[:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1), -1)


def _report_accuracy(
    ranks: np.ndarray,
    name_matches: Callable[[], Matches] | None,
    decimals: int | None,
    classes: int,
) -> dict[str, object]:
    """Prints the accuracy; with `name_matches` also how many images scoring by name changes."""
    index_matches = matches_by_index(ranks)
    counts = index_matches.counts()
    document: dict[str, object] = {
        "images": counts.images,
        "top1_count": counts.top1,
        "top5_count": counts.top5,
        "line": counts.result_line(decimals),
    }
    if name_matches is not None:
        matches = name_matches()
        top1, top5 = count_changes(index_matches, matches)
        document |= {"line": matches.counts().result_line(decimals), "changed": [top1, top5]}
        rates = counts.result_line(decimals).removeprefix("[VACC]:  ")
        note(
            f"Scored by class name. By index: {rates}. Scoring by name changes {top1:,} images in "
            f"top-1 and {top5:,} in top-5."
        )
    low, high = wilson_interval(counts.top1, counts.images)
    note(
        f"By index: top-1 {counts.top1:,} of {counts.images:,} (95 % interval {low:.2%} to "
        f"{high:.2%}), top-5 {counts.top5:,}."
    )
    if is_chance_level(counts.top1, counts.images, classes):
        note(
            "Warning: this accuracy is at chance level; labels, class order or pairs of files do "
            "not match."
        )
    return document


def _record_and_print(
    document: dict[str, object],
    description: OutputDescription | None,
    stems: list[str],
    labels: np.ndarray,
    ids: np.ndarray,
    scores: np.ndarray,
    json: bool,
) -> None:
    if description is not None:
        row, existed = record_outputs(description, stems, labels, ids, scores, prepare_database())
        document["evaluation"] = row.id
        again = " before" if existed else ""
        note(f"Recorded{again} as evaluation {row.id}, imported from {description.source}.")
    emit_json(document) if json else print(document["line"])

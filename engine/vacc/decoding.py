"""Pairs output files with the list of their inputs, and finds the top-5 classes of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.common.scores import drop_background, rank_of, softmax, top_k
from engine.errors import VaccFileInvalid
from engine.vacc.npz import read_output
from engine.vacc.result_lines import TOP

Progress = Callable[[int, int], None]
_OUTPUT_NAME = re.compile(r"(\d{6,})_(.+)")  # names of output files of `vamp`


@dataclass(frozen=True, slots=True)
class DecodedOutput:
    """The top-5 classes of one input; `old_ids` orders ties as the vendor's old decoder does.

    `rank` is the rank of the label, 0 is best; None without a label.
    """

    path: Path
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    old_ids: tuple[int, ...]
    old_scores: tuple[float, ...]
    rank: int | None


def pair_outputs(inputs: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of (input, output): line n of the list with file n of the sorted folder.

    Raises VaccFileInvalid if the numbers differ, or an output has the name of another input.
    """
    if not folder.is_dir():
        raise VaccFileInvalid(f"{folder} is not a folder.")
    outputs = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if len(outputs) != len(inputs):
        raise VaccFileInvalid(
            f"{folder} holds {len(outputs):,} outputs and the list names {len(inputs):,} inputs: "
            f"they are not of the same run; run vamp again with this list and an empty folder."
        )
    for number, (path, output) in enumerate(zip(inputs, outputs, strict=True)):
        name = _OUTPUT_NAME.fullmatch(output.stem)
        if name and int(name[1]) == number and name[2] != path.stem:
            raise VaccFileInvalid(
                f"{output} is the output of {name[2]}, but line {number + 1} of the list names "
                f"{path.stem}: they are not of the same run."
            )
    return list(zip(inputs, outputs, strict=True))


def decode_outputs(
    pairs: list[tuple[Path, Path]],
    labels: np.ndarray | None,
    background: int | None,
    progress: Progress,
) -> Iterator[DecodedOutput]:
    """The top-5 classes of each output, with one file in memory at a time.

    Ties: lowest index first. Raises VaccFileInvalid for an invalid file, for a different number of
    classes than before, and for a label without a score.
    """
    classes: int | None = None
    for number, (path, output) in enumerate(pairs):
        scores = drop_background(read_output(output)[None], background)
        classes = classes or scores.shape[1]
        if scores.shape[1] != classes:
            raise VaccFileInvalid(
                f"{output} has {scores.shape[1]} scores, but the outputs before it have "
                f"{classes}: they are not of the same model."
            )
        yield _decode_output(path, output, scores, None if labels is None else int(labels[number]))
        progress(number + 1, len(pairs))


def _decode_output(
    path: Path, output: Path, scores: np.ndarray, label: int | None
) -> DecodedOutput:
    if label is not None and label >= scores.shape[1]:
        raise VaccFileInvalid(
            f"{output} has {scores.shape[1]} scores, but the label of {path.stem} is {label}."
        )
    ids = top_k(scores, TOP)[0]
    best = scores[0][ids]
    are_probabilities = scores.min() >= 0 and abs(float(scores.sum()) - 1) < 1e-2
    probabilities = best if are_probabilities else softmax(scores)[0][ids]
    old = scores[0].argsort()[-TOP:][::-1]
    rank = None if label is None else int(rank_of(scores, np.array([label]))[0])
    return DecodedOutput(
        path,
        tuple(int(index) for index in ids),
        tuple(float(score) for score in best),
        tuple(float(probability) for probability in probabilities),
        tuple(int(index) for index in old),
        tuple(float(scores[0][index]) for index in old),
        rank,
    )

"""Output files paired with the list of their inputs, and the best classes of each."""

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
_NUMBERED = re.compile(r"(\d{6,})_(.+)")  # how `vamp` names outputs here


@dataclass(frozen=True, slots=True)
class Output:
    """The best classes of one input; `old_ids` in the order that the old decoder gives ties."""

    path: Path
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    old_ids: tuple[int, ...]
    old_scores: tuple[float, ...]
    rank: int | None


def pair(inputs: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """(input, output): line n of the list with file n of the sorted folder.

    Raises VaccFileInvalid when they are not as many, or outputs name other inputs.
    """
    if not folder.is_dir():
        raise VaccFileInvalid(f"{folder} is not a folder.")
    outputs = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if len(outputs) != len(inputs):
        raise VaccFileInvalid(
            f"{folder} holds {len(outputs):,} outputs and the list names {len(inputs):,} inputs: "
            f"they are not of one run; run vamp again with this list and an empty folder."
        )
    for number, (given, made) in enumerate(zip(inputs, outputs, strict=True)):
        named = _NUMBERED.fullmatch(made.stem)
        if named and int(named[1]) == number and named[2] != given.stem:
            raise VaccFileInvalid(
                f"{made} is the output of {named[2]}, but line {number + 1} of the list names "
                f"{given.stem}: they are not of one run."
            )
    return list(zip(inputs, outputs, strict=True))


def decode(
    pairs: list[tuple[Path, Path]],
    labels: np.ndarray | None,
    background: int | None,
    progress: Progress,
) -> Iterator[Output]:
    """The best classes of each pair, one file in memory at a time; `rank` where there is a label.

    Equal scores go in the order of their index. Raises VaccFileInvalid for a file that is none,
    for one of another number of classes, and for labels that the scores do not reach.
    """
    classes: int | None = None
    for number, (given, made) in enumerate(pairs):
        scores = drop_background(read_output(made)[None], background)
        classes = classes or scores.shape[1]
        if scores.shape[1] != classes:
            raise VaccFileInvalid(
                f"{made} holds {scores.shape[1]} scores, the outputs before it {classes}: they are "
                f"not of one model."
            )
        yield _output(given, made, scores, None if labels is None else int(labels[number]))
        progress(number + 1, len(pairs))


def _output(given: Path, made: Path, scores: np.ndarray, label: int | None) -> Output:
    if label is not None and label >= scores.shape[1]:
        raise VaccFileInvalid(
            f"{made} holds {scores.shape[1]} scores, but the label of {given.stem} is {label}."
        )
    ids = top_k(scores, TOP)[0]
    best = scores[0][ids]
    is_share = scores.min() >= 0 and abs(float(scores.sum()) - 1) < 1e-2
    shares = best if is_share else softmax(scores)[0][ids]
    old = scores[0].argsort()[-TOP:][::-1]
    rank = None if label is None else int(rank_of(scores, np.array([label]))[0])
    return Output(
        given,
        tuple(int(index) for index in ids),
        tuple(float(score) for score in best),
        tuple(float(share) for share in shares),
        tuple(int(index) for index in old),
        tuple(float(scores[0][index]) for index in old),
        rank,
    )

"""Selects one of several sets of weights in a file, and the messages about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.errors import CheckpointRejected

# Names of the trained weights in checkpoints of training programs, by priority.
PREFERRED_NAMES = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "student",
)
SHOWN_KEYS = 3
# Names of averaged weights, and of teachers in distillation.
_AVERAGE = re.compile(
    r"(?<![a-z])(?:ema|averaged?|avg|swa|shadow|teacher|momentum|target)(?![a-z])|[a-z]Ema"
)


def choose_set(names: Sequence[str], file: str, unmatched_key: str | None = None) -> str:
    """The name of the default set: the trained weights, rather than averages of them.

    `unmatched_key` is a --weights-key that is none of the names, for the message.
    Raises CheckpointRejected, with the option, if the choice is ambiguous.
    """
    trained = [name for name in names if not _AVERAGE.search(name)] or list(names)
    if len(trained) == 1:
        return trained[0]
    preferred = [name for name in trained if _last(name) in PREFERRED_NAMES]
    if not preferred and unmatched_key is not None:
        raise unknown_set(unmatched_key, names, file)
    if not preferred:
        raise CheckpointRejected(
            f"{file} contains several sets of weights, {join_names(names)}, and the choice is not "
            f"clear: choose one with --weights-key, such as `--weights-key {names[0]}`."
        )
    return min(preferred, key=lambda name: PREFERRED_NAMES.index(_last(name)))


def chosen_set_remark(chosen: str, names: Sequence[str], file: str) -> str:
    """The remark on a set that was chosen among several."""
    others = [name for name in names if name != chosen]
    return (
        f"{file} contains several sets of weights: {chosen} is used; use {others[0]} instead with "
        f"`--weights-key {others[0]}`"
        + (f" (other sets: {join_names(others[1:])})." if others[1:] else ".")
    )


def unknown_set(key: str, names: Sequence[str], file: str) -> CheckpointRejected:
    """The error for a --weights-key that the file does not have."""
    if not names:
        return CheckpointRejected(
            f"{file} contains only one set of weights, and it is not called {key!r}: omit "
            f"--weights-key."
        )
    return CheckpointRejected(
        f"{file} contains no weights called {key!r}: --weights-key can be "
        f"{join_names(names, ' or ')}."
    )


def join_names(names: Sequence[str], last: str = " and ") -> str:
    """Joins names: `a, b and c`."""
    return last.join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def first_keys(keys: Sequence[str]) -> str:
    """The first keys, comma-separated."""
    return ", ".join(keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")


def _last(name: str) -> str:
    return name.rpartition(".")[2]

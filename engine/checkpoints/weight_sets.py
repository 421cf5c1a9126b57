"""A file may hold several sets of weights: which one is taken where nobody says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.errors import CheckpointRejected

# What training programs call the weights themselves, the usual ones first.
NAMES = (
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
# What they call averages over training, and the copies that distillation learns from.
_AVERAGE = re.compile(
    r"(?<![a-z])(?:ema|averaged?|avg|swa|shadow|teacher|momentum|target)(?![a-z])|[a-z]Ema"
)


def choose_set(names: Sequence[str], file: str, asked: str | None = None) -> str:
    """The name of the set that is taken: the weights themselves before averages of them.

    `asked` names none of them.

    Raises CheckpointRejected, with the option that chooses, where the names do not tell.
    """
    own = [name for name in names if not _AVERAGE.search(name)] or list(names)
    if len(own) == 1:
        return own[0]
    known = [name for name in own if _last(name) in NAMES]
    if not known and asked is not None:
        raise unknown_set(asked, names, file)
    if not known:
        raise CheckpointRejected(
            f"{file} holds several sets of weights, {listed(names)}, and nothing says which of "
            f"them is meant: choose one with --weights-key, such as `--weights-key {names[0]}`."
        )
    return min(known, key=lambda name: NAMES.index(_last(name)))


def told_set(taken: str, names: Sequence[str], file: str) -> str:
    """The sentence on a set that was taken beside others."""
    others = [name for name in names if name != taken]
    return (
        f"{file} holds several sets of weights: {taken} was taken; `--weights-key {others[0]}` "
        f"takes {others[0]} instead"
        + (f" (there {_are(others[1:])} also {listed(others[1:])})." if others[1:] else ".")
    )


def unknown_set(key: str, names: Sequence[str], file: str) -> CheckpointRejected:
    """The refusal of a --weights-key that the file does not have."""
    if not names:
        return CheckpointRejected(
            f"{file} holds one set of weights, and none is called {key!r}: leave --weights-key out."
        )
    return CheckpointRejected(
        f"{file} holds no weights called {key!r}: --weights-key can be {listed(names, ' or ')}."
    )


def listed(names: Sequence[str], last: str = " and ") -> str:
    """`a, b and c`."""
    return last.join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def shown(keys: Sequence[str]) -> str:
    """The first few keys of many."""
    return ", ".join(keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"

"""From words on the command line to weights and preprocessing."""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from db.enums import WeightsKind
from engine.errors import InvalidRequest
from engine.preprocess.protocols import VENDOR, Protocol
from engine.specs import WeightsSpec

_DIGEST = re.compile(r"[0-9a-f]{6,64}")


def is_digest(text: str) -> bool:
    """Whether a word is the digest of an artifact, or its beginning, rather than a model."""
    return _DIGEST.fullmatch(text) is not None


def read_weights(text: str, seed: int = 0) -> WeightsSpec:
    """`pretrained`, `random` or a path."""
    if text == WeightsKind.PRETRAINED:
        return WeightsSpec()
    if text == WeightsKind.RANDOM:
        return WeightsSpec(kind=WeightsKind.RANDOM, seed=seed)
    return WeightsSpec(kind=WeightsKind.FILE, path=text)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; InvalidRequest where there is none to read."""
    try:
        found = json_module.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} is not a readable JSON file: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{path} must hold one JSON object.")
    return found


def read_preprocess(
    path: Path | None,
    resize: int | None = None,
    crop: int | None = None,
    interpolation: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    resizer: str | None = None,
    resize_mode: str | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any] | None:
    """Preprocessing of a protocol, or from a JSON file and single options; None: as published.

    Raises InvalidRequest for options beside a protocol that leaves none open.
    """
    given = _custom(path, resize, crop, interpolation, mean, std, resizer, resize_mode)
    if protocol in (Protocol.PUBLISHED, Protocol.VENDOR) and given:
        raise InvalidRequest(
            f"--protocol {protocol} leaves nothing open, but {', '.join(given)} was given; use "
            f"--protocol custom."
        )
    if protocol is Protocol.CUSTOM and not given:
        raise InvalidRequest(
            "--protocol custom needs its settings: --preprocess FILE.json, or --resize, --crop, "
            "--interpolation, --resizer, --resize-mode, --mean and --std."
        )
    return VENDOR.to_dict() if protocol is Protocol.VENDOR else given or None


def _custom(
    path: Path | None,
    resize: int | None,
    crop: int | None,
    interpolation: str | None,
    mean: str | None,
    std: str | None,
    resizer: str | None,
    resize_mode: str | None,
) -> dict[str, Any]:
    given = read_object(path) if path is not None else {}
    numbers: Callable[[str], list[float]] = lambda text: [float(x) for x in text.split(",")]  # noqa: E731
    try:
        single = {
            "resize": resize,
            "crop": crop,
            "resize_mode": resize_mode,
            "interpolation": interpolation,
            "resizer": resizer,
            "mean": numbers(mean) if mean else None,
            "std": numbers(std) if std else None,
        }
    except ValueError as error:
        raise InvalidRequest(f"--mean and --std take three numbers: {error}.") from error
    return given | {name: value for name, value in single.items() if value is not None}

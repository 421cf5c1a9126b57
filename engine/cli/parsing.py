"""Parses weights and preprocessing settings on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from db.enums import ArtifactKind, WeightsKind
from db.models import Artifact
from engine.build.lookup import why_cannot_run
from engine.catalog.models import catalog
from engine.cli.output import note
from engine.common.untrusted import read_json
from engine.config import settings
from engine.errors import InvalidRequest
from engine.preprocess.protocols import VENDOR, Protocol
from engine.runs.fields import FIELDS, PREPROCESS_FIELDS, parse_channel_values, parse_number
from engine.runs.request import OtherModel
from engine.runtimes.registry import RUNTIMES
from engine.specs import DEFAULT_RUNTIME, WeightsSpec
from engine.text import quoted

_DIGEST = re.compile(r"[0-9a-f]{6,64}")


def is_digest(text: str) -> bool:
    """Whether the text is an artifact digest, or the first digits of one, and not a model name."""
    return _DIGEST.fullmatch(text) is not None


def find_build(text: str, url: str) -> Artifact:
    """The build of `model:precision` (the newest one), or of the first digits of its digest.

    Raises InvalidRequest or ArtifactMissing where there is none.
    """
    from engine.build.lookup import newest_build
    from engine.store.artifacts import find_by_digest

    if is_digest(text):
        artifact = find_by_digest(text, url)
    else:
        model, _, precision = text.rpartition(":")
        artifact = newest_build(model, precision, url)
    if artifact.kind != ArtifactKind.BUILD:
        raise InvalidRequest(f"Artifact {artifact.digest[:12]} is an export: name a build of it.")
    return artifact


def read_weights(text: str, seed: int = 0, key: str | None = None) -> WeightsSpec:
    """Weights from `pretrained`, `random` or a path; `key` selects a set of weights in a file."""
    if text == WeightsKind.PRETRAINED:
        return WeightsSpec(key=key or None)
    if text == WeightsKind.RANDOM:
        if key:
            raise InvalidRequest(
                "--weights-key selects a set of weights in a file; random weights have no file: "
                "leave it out."
            )
        return WeightsSpec(kind=WeightsKind.RANDOM, seed=seed)
    return WeightsSpec(kind=WeightsKind.FILE, path=text, key=key or None)


def read_models(
    given: Iterable[str], weights: WeightsSpec, sources: Iterable[str], whole_catalog: bool
) -> dict[str, Any]:
    """Models, weights and further models of a request; an ONNX file is its own weights.

    Raises InvalidRequest without a model, for an unknown source, and for a weights file of several
    models.
    """
    models = [_read_model(text, weights) for text in given]
    known = dict.fromkeys(model.source for model in catalog().values())
    for source in sources:
        if source not in known:
            raise InvalidRequest(
                f"There is no source {quoted(source)} in the catalog: choose {', '.join(known)}."
            )
    chosen = known if whole_catalog else set(sources)
    models += [
        OtherModel(model_id=name, weights=weights)
        for name, model in catalog().items()
        if model.source in chosen
    ]
    models = list({model.to_key(): model for model in models}.values())
    if not models:
        raise InvalidRequest(
            "Name a model, such as `timm/seresnet50`, or give --catalog or --source timm; `models` "
            "lists the catalog."
        )
    ids = [model.model_id for model in models]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InvalidRequest(f"{twice} is given twice with other weights: rename one of the files.")
    if weights.kind == WeightsKind.FILE and len(models) > 1:
        raise InvalidRequest(
            f"The weights file {weights.path} belongs to one model, and {len(models)} models are "
            f"given: queue a run of its own for it."
        )
    first, *others = models
    return {
        "model_id": first.model_id,
        "weights": first.weights,
        "other_models": tuple(others),
    }


def _read_model(text: str, weights: WeightsSpec) -> OtherModel:
    """A model id as it is; the path of an ONNX file as the model of that file."""
    if not text.endswith(".onnx") or text in catalog() or text.startswith("onnx/"):
        return OtherModel(model_id=text, weights=weights)
    path = Path(text)
    return OtherModel(
        model_id=f"onnx/{path.stem[:100]}", weights=WeightsSpec(kind=WeightsKind.FILE, path=text)
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads the JSON object in a file; raises InvalidRequest if there is none."""
    document = read_json(path, lack="is not a readable JSON file")
    if not isinstance(document, dict):
        raise InvalidRequest(f"{path} must hold one JSON object.")
    return document


def read_preprocess(
    path: Path | None, protocol: Protocol | None = None, **options: int | str | None
) -> dict[str, Any] | None:
    """Preprocessing of a protocol, or of a JSON file and single options; None if published.

    Raises InvalidRequest for single settings together with the protocol published or vendor.
    """
    settings = read_json_object(path) if path is not None else {}
    for name, value in options.items():
        if value is not None:
            parse = _PARSERS.get(name)
            settings[name] = parse(f"--{name}", value) if parse else value
    if protocol in (Protocol.PUBLISHED, Protocol.VENDOR) and settings:
        raise InvalidRequest(
            f"--protocol {protocol} fixes all settings, but {', '.join(settings)} was given; use "
            f"--protocol custom."
        )
    if protocol is Protocol.CUSTOM and not settings:
        raise InvalidRequest(
            "--protocol custom needs at least one setting: --preprocess FILE.json, or "
            f"{', '.join(FIELDS[name].flags[0] for name in PREPROCESS_FIELDS)}."
        )
    return VENDOR.to_dict() if protocol is Protocol.VENDOR else settings or None


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "resize": lambda name, value: value or None,
    "mean": parse_channel_values,
    "std": parse_channel_values,
    "scale": parse_number,
}


def possible_runtimes(
    names: Iterable[str] | None, artifact: Artifact, device: str, profiles: bool = False
) -> list[str]:
    """The runtimes among `names` (None: the default) that can run a build, the others noted.

    `profiles`: only those that have a profiler. Raises InvalidRequest where none can.
    """
    possible, reasons = [], []
    for name in dict.fromkeys(names or (DEFAULT_RUNTIME,)):
        reason = why_cannot_run(artifact, name, settings().url, device)
        if reason is None and profiles and not RUNTIMES[name].profiles:
            reason = f"Runtime {name} has no profiler: choose another runtime."
        if reason is None:
            possible.append(name)
        else:
            reasons.append(reason)
    if not possible:
        raise InvalidRequest(" ".join(dict.fromkeys(reasons)))
    for reason in reasons:
        note(f"Note: not measured: {reason}")
    return possible

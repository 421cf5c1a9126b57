"""The request as it is stored: with digests of its files and class counts of its dataset."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from db.enums import WeightsKind
from engine.catalog.models import find_model
from engine.common.digests import file_digest
from engine.datasets.available import AvailableDatasets
from engine.errors import InvalidRequest
from engine.runs.request import OtherModel, RunRequest
from engine.specs import absolute
from engine.weights.registry import find_registered


def identified(request: RunRequest, url: str) -> tuple[RunRequest, tuple[RunRequest, ...]]:
    """The request as it is stored, and its requests of one model each, with what is derived."""
    parts = [with_file_digest(part) for part in request.for_each_model()]
    compiled = tuple(with_dataset_classes(part, url) for part in parts)
    if len(compiled) == 1:
        return compiled[0], compiled
    first, *others = (OtherModel(model_id=one.model_id, weights=one.weights) for one in parts)
    models = {"weights": first.weights, "other_models": tuple(others)}
    return request.model_copy(update=models), compiled


def with_file_digest(request: RunRequest) -> RunRequest:
    """The request with the SHA-256 of its weights file, or of the file registered for its model."""
    weights = request.weights
    if weights.kind == WeightsKind.PRETRAINED:
        registered = find_registered(find_model(request.model_id))
        digest = registered.digest if registered else None
        key = weights.key or (registered.key if registered else None)
        identified = weights.model_copy(update={"sha256": digest, "key": key})
        return request.model_copy(update={"weights": identified})
    if weights.kind != WeightsKind.FILE or weights.path is None:
        return request
    path = absolute(weights.path)
    identified = weights.model_copy(update={"path": path, "sha256": digest_user_file(path)})
    return request.model_copy(update={"weights": identified})


def with_dataset_classes(request: RunRequest, url: str) -> RunRequest:
    """The request with the class counts of its dataset, for an ONNX file of several outputs.

    The export finds the scores output by them where the request does not name it.
    """
    path = request.weights.path
    if request.output or not path or not request.model_id.startswith("onnx/"):
        return request
    from engine.onnx.graph_io import count_outputs  # imports onnx

    if request.dataset is None or count_outputs(Path(path)) < 2:
        return request.model_copy(update={"classes": ()})
    known = AvailableDatasets.read(url)
    if request.dataset not in known:
        return request
    classes, row = known.classes_of(request.dataset), known.get(request.dataset)
    present = len(classes.present or ()) if classes is not None else 0
    all_classes = row.num_classes if row is not None else len(classes.names if classes else ())
    counts = dict.fromkeys(count for count in (all_classes, present) if count)
    return request.model_copy(update={"classes": tuple(counts)})


def digest_user_file(path: str) -> str:
    """SHA-256 of a file. Raises InvalidRequest if it cannot be read."""
    try:
        state = Path(path).stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=128)
def _digest(path: str, mtime_ns: int, size: int) -> str:
    return file_digest(Path(path))

"""What looks at a request before it is queued, and says in sentences what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from db.enums import WeightsKind
from db.models import Dataset
from engine.catalog.models import CatalogModel
from engine.datasets.classes import ClassMatching, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.reader import load_classes
from engine.runs.requests import RunRequest, Task

Datasets = dict[str, Dataset]
"""The registered datasets by name."""

IMAGENET = len(class_names())


def matching_of(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> ClassMatching | None:
    """How the outputs go with the classes of the dataset, where both are known beforehand.

    They are for pretrained weights of the catalog. Raises LabelsMismatch where they do not.
    """
    known = datasets.get(request.dataset or "")
    pretrained = model.in_catalogue and request.weights.kind == WeightsKind.PRETRAINED
    if known is None or not pretrained or Task.EVALUATE not in request.tasks:
        return None
    classes = load_classes(known)
    if classes is None:
        return None
    return match_outputs(model.id, IMAGENET, request.background, known.name, classes)


Check = Callable[[RunRequest, CatalogModel, Datasets], Iterator[str]]

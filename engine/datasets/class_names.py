"""Classes as people call them."""

from __future__ import annotations

from functools import lru_cache

from engine.datasets import imagenet
from engine.datasets.reader import DatasetIndex


@lru_cache(maxsize=1)
def _names_by_wnid() -> dict[str, str]:
    names = imagenet.class_names()
    return {wnid: names[index] for wnid, index in imagenet.wnid_to_index().items()}


def class_name(index: DatasetIndex | None, label: int) -> str:
    """A class as people call it: ImageNet's first name of a wnid, else the folder, or a number."""
    if index is None or not 0 <= label < len(index.classes):
        return f"class {label}"
    own = index.classes[label]
    return _names_by_wnid().get(own, own).partition(",")[0]

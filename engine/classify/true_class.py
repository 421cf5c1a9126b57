"""The true class of an image, where its file name or folder tells it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from engine.datasets import imagenet

_SEPARATORS = re.compile(r"[\s_\-.()]+")


class TrueClasses:
    """Finds true classes among the names of a model's classes, by index."""

    def __init__(self, names: Sequence[str]) -> None:
        """A name may hold synonyms, separated by commas; what two classes share tells nothing."""
        self.names = tuple(names)
        self._wnids = imagenet.wnid_to_index() if self.names == imagenet.class_names() else {}
        owners: dict[str, set[int]] = {}
        for index, name in enumerate(self.names):
            for word in (name, *name.split(",")):
                owners.setdefault(_plain(word), set()).add(index)
        self._by_word = {word: found.pop() for word, found in owners.items() if len(found) == 1}

    def find(self, path: str | PurePath) -> int | None:
        """The class of `n01440764_18.JPEG`, `tench/18.jpg`, `tench.jpg` or `tiger shark-2.png`.

        A WordNet id counts for ImageNet's classes only. None where neither name tells it.
        """
        path = PurePath(str(path).replace("\\", "/"))
        found = (self._of(text) for text in (path.stem, path.parent.name))
        return next((index for index in found if index is not None), None)

    def _of(self, text: str) -> int | None:
        found = imagenet.WNID.search(text)
        if found and self._wnids:
            return self._wnids.get(found.group())
        plain = _plain(text)
        if plain in self._by_word:
            return self._by_word[plain]
        return self._by_word.get(plain.rstrip("0123456789 "))


def _plain(text: str) -> str:
    return " ".join(_SEPARATORS.sub(" ", text).lower().split())

"""Work in several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def at_once(work: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Calls `work` with each item, each in a thread of its own, the first in this one.

    Returns when all have ended. What one of them raises is raised here then, the first of several:
    a thread that died must not pass for one that had nothing to do.
    """
    errors: list[BaseException] = []

    def kept(item: Item) -> None:
        try:
            work(item)
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=kept, args=(item,)) for item in items[1:]]
    for thread in others:
        thread.start()
    kept(items[0])
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]

"""Unpickling without running anything: every global of the file becomes an inert stand-in.

A pickle names the functions and classes that rebuild its objects. Here only the names in a caller's
table mean something; all others become a subclass of `Inert`, which swallows its arguments, so that
a foreign object beside the tensors does no harm and a hostile one does nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar, NoReturn

Known = Mapping[tuple[str, str], Any]
MOST_NESTED = 64  # tuples within tuples; the hash of a million ends the process


class Inert(dict[Any, Any]):
    """Stands for an object of a class that is not needed: built, filled and called to no effect.

    A dict, because pickles store items into the objects that they rebuild.
    """

    origin: ClassVar[str] = "an unknown class"

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()

    def __call__(self, *_args: Any, **_kwargs: Any) -> Inert:
        return self

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def append(self, _item: Any) -> None:
        """Swallow an item that the pickle appends."""

    def extend(self, _items: Any) -> None:
        """Swallow the items that the pickle appends together."""

    def add(self, _item: Any) -> None:
        """Swallow an item that the pickle adds to a set."""


class Restorable:
    """Base of the stand-ins that take a pickled state (the BUILD instruction)."""

    def restore(self, state: Any) -> None:
        """Take the state that the pickle holds for this object."""
        raise NotImplementedError


def inert_class(module: str, name: str) -> type[Inert]:
    """Return a new stand-in class that remembers which global it replaces."""
    return type("Inert", (Inert,), {"origin": f"{module}.{name}"})


def refuse_class(module: str, name: str) -> NoReturn:
    """Refuse a global, for files in which nothing but the known ones can belong."""
    raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _checked_tuple(step: Callable[[Any], None]) -> Callable[[Any], None]:
    """An instruction that makes a tuple, followed by the check that it is not nested too deep."""

    def checked(unpickler: Any) -> None:
        step(unpickler)
        unpickler._require_shallow()

    return checked


class InertUnpickler(pickle._Unpickler):
    """Unpickler that imports nothing: `known` maps (module, name) to what may be called.

    `unknown` gives the stand-in for all other globals, or raises; `persistent` receives each
    persistent id. It is built on the pure Python unpickler, whose memo is a dict: the C one
    allocates a table as long as a hostile index says. Protocol 5 is refused (its BYTEARRAY8
    allocates before it reads); neither torch.save nor paddle.save writes it.
    """

    stack: list[Any]
    read: Callable[[int], bytes]

    def __init__(
        self,
        file: BinaryIO,
        known: Known,
        *,
        unknown: Callable[[str, str], Any] = inert_class,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self._known = known
        self._unknown = unknown
        self._persistent = persistent

    def load(self) -> Any:
        """Return the object of one pickle; raise pickle.UnpicklingError for anything damaged."""
        try:
            return super().load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:
            raise pickle.UnpicklingError(f"its pickle is damaged ({error!r})") from error

    def find_class(self, module: str, name: str) -> Any:
        """Look a global up in the table; nothing is ever imported."""
        if (module, name) in self._known:
            return self._known[module, name]
        return self._unknown(module, name)

    def get_extension(self, code: int) -> NoReturn:
        """Refuse registered extension codes: they would be looked up in the running process."""
        raise pickle.UnpicklingError(f"it uses the extension code {code}")

    def persistent_load(self, pid: Any) -> Any:
        """Hand a persistent id to the reader of the storages."""
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to data outside of itself")
        return self._persistent(pid)

    def _build(self) -> None:
        # The standard BUILD sets attributes on whatever is on the stack, functions included.
        state = self.stack.pop()
        if isinstance(self.stack[-1], Restorable):
            self.stack[-1].restore(state)

    def _protocol(self) -> None:
        version = self.read(1)[0]
        if version > 4:
            raise pickle.UnpicklingError(f"it uses pickle protocol {version}")

    def _require_shallow(self) -> None:
        level = {id(self.stack[-1]): self.stack[-1]}
        for _ in range(MOST_NESTED):
            level = {id(v): v for parent in level.values() for v in parent if type(v) is tuple}
            if not level:
                return
        raise pickle.UnpicklingError(f"it nests over {MOST_NESTED} tuples")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{
            code: step
            for code, step in pickle._Unpickler.dispatch.items()
            if bytes([code]) not in (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
        },
        **{
            code[0]: _checked_tuple(pickle._Unpickler.dispatch[code[0]])
            for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
        },
        pickle.BUILD[0]: _build,
        pickle.PROTO[0]: _protocol,
    }

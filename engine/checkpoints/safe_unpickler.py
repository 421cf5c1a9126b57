"""Unpickling without running code: every global of the file becomes an inert stand-in.

A pickle refers to functions and classes that rebuild its objects. Only those in the caller's table
are used; all others become a subclass of `Inert`, which ignores its arguments. So unknown objects
next to the tensors are harmless, and malicious ones have no effect.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar, NoReturn

GlobalTable = Mapping[tuple[str, str], Any]
"""Replacements of globals by (module, name)."""
MAX_NESTED_TUPLES = 64  # hashing very deeply nested tuples crashes the process


class Inert(dict[Any, Any]):
    """Stand-in for an object that is not needed; creating, filling and calling it has no effect.

    A dict, because pickles store items in the objects that they rebuild.
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
        """Ignores an item that the pickle appends."""

    def extend(self, _items: Any) -> None:
        """Ignores items that the pickle appends."""

    def add(self, _item: Any) -> None:
        """Ignores an item that the pickle adds to a set."""


class Restorable:
    """Base of the stand-ins that accept a pickled state (the BUILD instruction)."""

    def restore(self, state: Any) -> None:
        """Sets the pickled state of this object."""
        raise NotImplementedError


def inert_class(module: str, name: str) -> type[Inert]:
    """Returns a new stand-in class; its `origin` is the global that it replaces."""
    return type("Inert", (Inert,), {"origin": f"{module}.{name}"})


def refuse_class(module: str, name: str) -> NoReturn:
    """Refuses a global; for formats that contain only the globals of the table."""
    raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _checked_tuple(step: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wraps an instruction that creates a tuple with a check of its nesting depth."""

    def checked(unpickler: Any) -> None:
        step(unpickler)
        unpickler._require_shallow()

    return checked


class InertUnpickler(pickle._Unpickler):
    """Unpickler that imports nothing; `table` maps (module, name) to replacements.

    `unknown` returns the stand-in for all other globals, or raises; `persistent` receives each
    persistent id. It is based on the pure Python unpickler, whose memo is a dict: the C
    implementation allocates a table of a size that a malicious file chooses. Protocol 5 is refused
    (BYTEARRAY8 allocates before it reads); neither torch.save nor paddle.save writes it.
    """

    stack: list[Any]
    read: Callable[[int], bytes]

    def __init__(
        self,
        file: BinaryIO,
        table: GlobalTable,
        *,
        unknown: Callable[[str, str], Any] = inert_class,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self._table = table
        self._unknown = unknown
        self._persistent = persistent

    def load(self) -> Any:
        """Returns the object of one pickle; raises pickle.UnpicklingError if it is damaged."""
        try:
            return super().load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:
            raise pickle.UnpicklingError(f"its pickle is damaged ({error!r})") from error

    def find_class(self, module: str, name: str) -> Any:
        """Looks up a global in the table; never imports it."""
        if (module, name) in self._table:
            return self._table[module, name]
        return self._unknown(module, name)

    def get_extension(self, code: int) -> NoReturn:
        """Refuses extension codes, which would refer to objects of the running process."""
        raise pickle.UnpicklingError(f"it uses the extension code {code}")

    def persistent_load(self, pid: Any) -> Any:
        """Passes a persistent id to the reader of the storages."""
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to external data")
        return self._persistent(pid)

    def _build(self) -> None:
        # The standard BUILD sets attributes of any object on the stack, including functions.
        state = self.stack.pop()
        if isinstance(self.stack[-1], Restorable):
            self.stack[-1].restore(state)

    def _protocol(self) -> None:
        version = self.read(1)[0]
        if version > 4:
            raise pickle.UnpicklingError(f"it uses pickle protocol {version}")

    def _require_shallow(self) -> None:
        level = {id(self.stack[-1]): self.stack[-1]}
        for _ in range(MAX_NESTED_TUPLES):
            level = {id(v): v for parent in level.values() for v in parent if type(v) is tuple}
            if not level:
                return
        raise pickle.UnpicklingError(f"it nests more than {MAX_NESTED_TUPLES} tuples")

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

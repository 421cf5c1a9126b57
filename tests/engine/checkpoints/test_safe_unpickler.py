"""The inert unpickler imports nothing, changes nothing, and ends in bounded memory."""

from __future__ import annotations

import collections
import io
import pickle
import sys
from typing import Any

import pytest

from engine.checkpoints.safe_unpickler import Inert, InertUnpickler, refuse_class


def load(data: bytes, known: dict[tuple[str, str], Any] | None = None, **options: Any) -> Any:
    return InertUnpickler(io.BytesIO(data), known or {}, **options).load()


def some_function(value: int = 1) -> int:
    return value


@pytest.mark.parametrize("protocol", range(5))
def test_plain_data_is_read_as_pickle_reads_it(protocol: int) -> None:
    plain = {"a": [1, 2.5, None, True, "täxt", (1, 2), (), [3] * 5], 4: {"b": 1 << 70, "c": -1}}
    plain["again"] = plain["a"]
    assert load(pickle.dumps(plain, protocol)) == plain


def test_unknown_globals_become_inert_and_remember_their_name() -> None:
    content = load(pickle.dumps({"d": collections.deque([1, 2]), "c": collections.Counter("a")}))
    assert isinstance(content["d"], Inert)
    assert content["d"].origin == "collections.deque"
    assert content["c"].origin == "collections.Counter"


def test_nothing_is_imported() -> None:
    assert "antigravity" not in sys.modules
    load(b"cantigravity\ngeohash\n(I1\ntR.")
    assert "antigravity" not in sys.modules


def test_the_state_of_an_object_does_not_reach_a_function() -> None:
    """The standard BUILD would change the function's defaults for the whole process."""
    pickled = b"\x80\x02cx\nf\nN}X\x0c\x00\x00\x00__defaults__K\x07\x85s\x86b."
    assert load(pickled, {("x", "f"): some_function}) is some_function
    assert some_function() == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x05}.",
        b"\x80\x04\x96\x00\x00\x00\x00\x00\x01\x00\x00.",  # a bytearray of a terabyte
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes of half the address space
        b"\x80\x02\x82\x01.",  # a registered extension
        b"\x80\x02K\x01Q.",  # data outside of the pickle
        b"\x80\x02K\x01)R.",  # calling a number
        b"cos\nsystem\n(S'true'\ntR",
        b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",  # a key whose hash ends the process
    ],
)
def test_damaged_and_hostile_streams_are_refused(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        load(data)


def test_a_large_memo_index_costs_nothing() -> None:
    assert load(b"\x80\x02}r\xff\xff\xff\xff.") == {}


def test_globals_can_be_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"collections\.deque"):
        load(pickle.dumps(collections.deque()), unknown=refuse_class)

"""What is taken in from users and files: printable names, finite numbers, bounded JSON and npz."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.exc import StatementError

from db.models import Environment
from db.session import writing
from engine.catalog.models import find_model
from engine.common import arrays
from engine.common.arrays import ArraysInvalid, read_npy, read_npz
from engine.common.untrusted import as_json, plain_facts, plain_name, read_json
from engine.errors import InvalidRequest
from engine.text import MAX_QUOTED, printable, quoted, sentence, shown


def test_text_in_sentences_is_printable_and_short() -> None:
    assert printable("a\x1b[31m\0\u202eb\ud800\tc\n") == "a\\x1b[31m\\x00\\u202eb\\ud800\tc\n"
    assert quoted("x" * 5000) == f"'{'x' * MAX_QUOTED}…'"
    assert quoted("a\x1b'b") == '"a\\x1b\'b"'
    assert shown([1, 2]) == "[1, 2]"
    assert shown(10**5000) == "a int too large to show"
    assert str(InvalidRequest(f"No {'y' * 100_000}.")) == f"No {'y' * MAX_QUOTED}…"
    assert len(sentence("word " * 10_000)) < 2100


@pytest.mark.parametrize("name", ["card X, driver 1.2", "[/]", "-2+3", "käse 芝士", "a\u200db"])
def test_names_that_can_be_printed_are_taken_as_they_are(name: str) -> None:
    assert plain_name(name, "The source", 200) == name


def test_white_space_of_a_name_is_made_single() -> None:
    assert plain_name("  card\n X\t1 ", "The source", 20) == "card X 1"


@pytest.mark.parametrize(
    "name", ["", "  ", "a\0", "\x1b[2J", "a\x1cb", "a\u202eb", "\ud800", "a" * 21]
)
def test_names_that_cannot_be_stored_or_shown_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^The source"):
        plain_name(name, "The source", 20)


@pytest.mark.parametrize("facts", [{"a": 1.5, "b": [1, {"c": True}]}, {"none": None, "e": ""}])
def test_facts_are_taken_as_they_are(facts: Any) -> None:
    assert plain_facts(facts, "environment") is facts


@pytest.mark.parametrize(
    "facts",
    [
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": 10**30},
        {"a": "\0"},
        {"\x1b": 1},
        {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}},
        dict.fromkeys(map(str, range(2000))),
        {"a": "x" * 3000},
    ],
)
def test_facts_that_no_database_holds_are_refused(facts: Any) -> None:
    with pytest.raises(InvalidRequest):
        plain_facts(facts, "environment")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1e999}', "too large to be stored"),
        ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
        ('{"a":' * 90_000, "nested too deep"),
        ('"\\ud800"', "surrogates"),
        (b"\xff\xfe{", "utf-8"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_json_gets_one_sentence(tmp_path: Path, text: str | bytes, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InvalidRequest, match=rf"a\.json cannot be read: it is not JSON .*{reason}"):
        read_json(path)


def test_json_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": [1, 1.5, "\\ud83d\\ude00", null]}')
    assert read_json(path) == {"a": [1, 1.5, "\U0001f600", None]}
    with pytest.raises(InvalidRequest, match="at most 0 MB"):
        read_json(path, most_bytes=3)


def test_documents_hold_null_where_there_is_no_number() -> None:
    text = as_json({"a": [float("nan"), 1.5, float("inf")], "b": {"c": -float("inf")}})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, 1.5, None],
        "b": {"c": None},
    }


def test_the_database_takes_no_invalid_json(url: str) -> None:
    row = Environment(digest="d" * 64, label="x", facts={"a": float("nan")})
    with pytest.raises(StatementError, match="not JSON compliant"), writing(url) as session:
        session.add(row)


@pytest.mark.parametrize(
    "model_id",
    ["timm/../../etc", "timm/..", "onnx//etc/passwd", "timm/a\0", "timm/\x1b[1m",
     "timm/" + "a" * 500, "timm/ ", "onnx/a\\..\\b", "x" * 5000],
)  # fmt: skip
def test_what_is_no_name_of_a_model_is_refused(model_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        find_model(model_id)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("model_id", ["timm/seresnet50.ra2_in1k", "onnx/[/]", "onnx/my net (1)"])
def test_names_of_models_that_are_odd_but_harmless(model_id: str) -> None:
    assert find_model(model_id).id == model_id


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


GOOD = header("(2,)") + bytes(8)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header("(1000000000000,)"), "declares 'a' as"),
        (header(f"({10**30},)"), "declares 'a' as"),
        (header("(-2,)") + bytes(8), "declares 'a' as"),
        (GOOD + b"x", "holds 9 bytes"),
        (GOOD[:-1], "holds 7 bytes"),
        (header("(2,)", "'<U2147483'"), "declares"),
        (header("(1,)", "'|O'") + bytes(8), "pickled object"),
        (header("(1,)", "[('x', '<f4')]") + bytes(4), "not as plain numbers"),
        (header("(1,)", "'<M8[s]'") + bytes(8), "not as plain numbers"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, "no readable npy header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff(", "no readable npy header"),
        (header("__import__('os')"), "no readable npy header"),
        (b"text", "no readable npy header"),
    ],
)
def test_arrays_that_are_not_what_they_say(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ArraysInvalid, match=reason):
        read_npz(npz(tmp_path / "a.npz", a=data), 10**9)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ArraysInvalid):
        read_npy(tmp_path / "a.npy", 10**9)


def patched(path: Path, place: int, value: int, form: str = "<H") -> Path:
    """Another value in the entry of the zip's table of contents."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.rfind(b"PK\x01\x02") + place, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("place", "value", "form", "reason"),
    [
        (8, 1, "<H", "is encrypted"),
        (10, 99, "<H", "compressed by method 99"),
        (10, 12, "<H", "compressed by method 12"),
        (24, 2**31, "<I", "unpacks to over"),
        (24, 30, "<I", "is damaged"),
    ],
)
def test_zips_that_are_not_as_numpy_writes_them(
    tmp_path: Path, place: int, value: int, form: str, reason: str
) -> None:
    with pytest.raises(ArraysInvalid, match=reason):
        read_npz(patched(npz(tmp_path / "a.npz", a=GOOD), place, value, form), 10**9)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MIN_BOMB_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header("(2000000,)", "'|u1'") + bytes(2_000_000))
    with pytest.raises(ArraysInvalid, match="no plausible compression of numbers"):
        read_npz(tmp_path / "a.npz", 10**9)


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    written = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.float32(3),
        "text": np.array(["a", "bcd"]),
        "half": np.ones((2, 2), np.float16),
        "none": np.zeros((0, 3)),
    }
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "a.npz", **written)
        found = read_npz(tmp_path / "a.npz", 10**6)
        assert list(found) == list(written)
        for name, array in written.items():
            assert found[name].dtype == np.asarray(array).dtype
            assert np.array_equal(found[name], array)
    stream = io.BytesIO()
    np.save(stream, written["f"])
    (tmp_path / "a.npy").write_bytes(stream.getvalue())
    assert np.array_equal(read_npy(tmp_path / "a.npy", 10**6), written["f"])
    with pytest.raises(ArraysInvalid, match=r"holds f, scalar, text, half, none, and no x"):
        read_npz(tmp_path / "a.npz", 10**6, "x")

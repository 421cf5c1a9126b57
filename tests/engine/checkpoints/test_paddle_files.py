"""Paddle's files without Paddle: against files that Paddle 2.6.2 and 3.3.1 wrote themselves."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.checkpoints.reading import read_checkpoint
from engine.errors import CheckpointRejected
from tests.support.seeded import seeded_weights

# The network of tests/oracles/record_paddle_files.py: structured name -> (parameter name, shape).
SMALL = {
    "conv.weight": ("small_weights", (4, 3, 3, 3)),
    "norm.weight": ("bn_small_scale", (4,)),
    "norm.bias": ("bn_small_offset", (4,)),
    "norm._mean": ("bn_small_mean", (4,)),
    "norm._variance": ("bn_small_variance", (4,)),
    "out.weight": ("fc6_small", (4, 5)),
    "out.bias": ("fc6_offset", (5,)),
}
VERSIONS = ("paddle-2.6.2", "paddle-3.3.1")


def assert_small(state: dict[str, torch.Tensor], names: dict[str, str]) -> None:
    """The state holds the seeded weights under the given names (structured -> name)."""
    assert sorted(state) == sorted(names.values())
    for structured, (_, shape) in SMALL.items():
        expected = torch.from_numpy(seeded_weights(structured, shape))
        assert torch.equal(state[names[structured]], expected), structured


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pdparams_as_paddle_writes_them(recorded: Path, version: str, protocol: int) -> None:
    state = read_checkpoint(recorded / version / f"protocol{protocol}.pdparams").tensors
    assert_small(state, {structured: structured for structured in SMALL})


@pytest.mark.parametrize(
    ("version", "beside"),
    [
        ("paddle-2.6.2", ".pdmodel"),
        ("paddle-2.6.2", ".pdiparams.info"),
        ("paddle-3.3.1", ".json"),
    ],
)
@pytest.mark.parametrize("ending", ["logits", "softmax"])
def test_pdiparams_take_their_names_from_the_file_beside(
    recorded: Path, tmp_path: Path, version: str, beside: str, ending: str
) -> None:
    for suffix in (".pdiparams", beside):
        shutil.copy(recorded / version / f"{ending}{suffix}", tmp_path / f"inference{suffix}")
    state = read_checkpoint(tmp_path / "inference.pdiparams").tensors
    assert_small(state, {structured: name for structured, (name, _) in SMALL.items()})


def test_pdiparams_of_an_unknown_network_need_their_model(recorded: Path, tmp_path: Path) -> None:
    shutil.copy(recorded / "paddle-3.3.1" / "logits.pdiparams", tmp_path / "x.pdiparams")
    with pytest.raises(CheckpointRejected, match="with all its files"):
        read_checkpoint(tmp_path / "x.pdiparams")


@pytest.mark.parametrize("beside", [".pdmodel", ".pdiparams.info", ".json"])
@pytest.mark.parametrize("change", [lambda data: data[:-40], lambda data: b"\xff" * 50])
def test_a_damaged_file_beside_is_named(
    recorded: Path, tmp_path: Path, beside: str, change: Any
) -> None:
    version = "paddle-3.3.1" if beside == ".json" else "paddle-2.6.2"
    shutil.copy(recorded / version / "logits.pdiparams", tmp_path / "x.pdiparams")
    damaged = change((recorded / version / f"logits{beside}").read_bytes())
    (tmp_path / f"x{beside}").write_bytes(damaged)
    with pytest.raises(CheckpointRejected, match=rf"x\.pdiparams.*x\{beside}"):
        read_checkpoint(tmp_path / "x.pdiparams")


def test_a_hostile_info_is_never_run(
    recorded: Path, tmp_path: Path, hostile: Any, canary: Path
) -> None:
    shutil.copy(recorded / "paddle-2.6.2" / "logits.pdiparams", tmp_path / "x.pdiparams")
    (tmp_path / "x.pdiparams.info").write_bytes(pickle.dumps({"a": hostile}))
    with pytest.raises(CheckpointRejected):
        read_checkpoint(tmp_path / "x.pdiparams")
    assert not canary.exists()


def test_a_model_with_other_parameters_beside_is_refused(recorded: Path, tmp_path: Path) -> None:
    shutil.copy(recorded / "paddle-3.3.1" / "logits.json", tmp_path / "x.json")
    data = (recorded / "paddle-3.3.1" / "logits.pdiparams").read_bytes()
    (tmp_path / "x.pdiparams").write_bytes(data + data)
    with pytest.raises(CheckpointRejected, match=r"14 tensors, but x\.json has 7 names"):
        read_checkpoint(tmp_path / "x.pdiparams")


def test_truncated_pdiparams_are_refused(recorded: Path, tmp_path: Path) -> None:
    data = (recorded / "paddle-3.3.1" / "logits.pdiparams").read_bytes()
    shutil.copy(recorded / "paddle-3.3.1" / "logits.json", tmp_path / "x.json")
    for length in range(1, len(data), 5):
        (tmp_path / "x.pdiparams").write_bytes(data[:length])
        with pytest.raises(CheckpointRejected, match=r"x\.pdiparams"):
            read_checkpoint(tmp_path / "x.pdiparams")


@pytest.mark.parametrize(
    ("desc", "data", "reason"),
    [
        (b"\x08\x05\x10\xff\xff\xff\xff\x7f", b"", "truncated or damaged"),  # 2**35 - 1 floats
        (b"\x08\x05\x10" + b"\xff" * 9 + b"\x01", bytes(8), "truncated or damaged"),  # -1 floats
        (b"\x08\x63\x10\x01", bytes(4), "unknown type 99"),
        (b"\x10\x01", bytes(4), "damaged"),
        (b"\x08\x05\x10\x02", bytes(4), "truncated"),
    ],
)
def test_hostile_tensor_descriptions_are_refused(
    tmp_path: Path, desc: bytes, data: bytes, reason: str
) -> None:
    path = tmp_path / "x.pdiparams"
    path.write_bytes(bytes(16) + struct.pack("<i", len(desc)) + desc + data)
    with pytest.raises(CheckpointRejected, match=reason):
        read_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("numpy_module", ["numpy.core", "numpy._core"])
def test_arrays_of_all_shapes_orders_and_types(
    tmp_path: Path, protocol: int, numpy_module: str
) -> None:
    base = np.arange(24.0).reshape(2, 3, 4)
    arrays = {
        "c": base.astype("f4"),
        "fortran": np.asfortranarray(base),
        "scalar": np.array(2.5, "f4"),
        "empty": np.empty((0, 3), "f2"),
        "half": base.astype("f2"),
        "long": base.astype("i8"),
        "view": base[:, ::2],
    }
    # The module of `_reconstruct` moved in numpy 2.
    buffer = io.BytesIO()
    pickle.Pickler(buffer, protocol).dump(arrays)
    data = buffer.getvalue()
    written = "numpy._core" if b"numpy._core" in data else "numpy.core"
    if protocol < 4:  # a global is one line; in protocol 4 it has a length before it
        data = data.replace(f"{written}.".encode(), f"{numpy_module}.".encode())
    (tmp_path / "x.pdparams").write_bytes(data)
    state = read_checkpoint(tmp_path / "x.pdparams").tensors
    for name, array in arrays.items():
        assert torch.equal(state[name], torch.from_numpy(array.copy())), name


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": np.array([None])}, "without numbers"),
        ({"a": np.array(["text"])}, "type 'U4'"),
        ({"a": np.ones(2, ">f4")}, "little endian"),
        ({"a": np.ones(2, [("x", "f4")])}, "type 'V4'"),
        ({"a": 1.0}, "'a' is not an array"),
        ({3: np.ones(1)}, "entry 3"),
        ([np.ones(1)], "a list"),
        ({"UnpackBigParamInfor@@": {}}, "that are split"),
        ({"a": np.float32(1)}, r"numpy\S*multiarray\.scalar"),
        ({"a": Path("x")}, "pathlib"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, reason: str) -> None:
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(CheckpointRejected, match=reason) as caught:
        read_checkpoint(tmp_path / "x.pdparams")
    assert "no code in it was run" in str(caught.value)


def test_a_shape_that_does_not_fit_the_data_is_refused(tmp_path: Path) -> None:
    class Lying:
        def __reduce__(self) -> tuple[Any, ...]:
            make, arguments, state = np.ones(4, "f4").__reduce__()
            return make, arguments, (state[0], (1 << 20, 1 << 20), *state[2:])

    (tmp_path / "x.pdparams").write_bytes(pickle.dumps({"a": Lying()}, protocol=4))
    with pytest.raises(CheckpointRejected, match="shape does not fit"):
        read_checkpoint(tmp_path / "x.pdparams")

"""Any file of weights gives its tensors or one sentence, and never runs anything."""

from __future__ import annotations

import json
import pickle
import random
import struct
import zipfile
from collections import OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.checkpoints.reading import read_checkpoint
from engine.errors import CheckpointRejected

FORMATS = ("zip", "legacy")


def save(content: Any, path: Path, format_: str = "zip") -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=format_ == "zip")
    return path


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert list(left) == list(right)
    for key in left:
        assert left[key].dtype == right[key].dtype
        assert torch.equal(left[key], right[key]), key


class LogBuffer:
    """Stands for the classes of training frameworks that checkpoints carry along."""

    def __init__(self) -> None:
        self.values = [1.0]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_a_state_dict_is_found_in_its_wrapper(
    network: nn.Module, tmp_path: Path, format_: str, wrapper: str | None
) -> None:
    state = network.state_dict()
    content = {"epoch": 3, wrapper: state} if wrapper else state
    read = read_checkpoint(save(content, tmp_path / "x.pth.tar", format_))
    assert_equal(read.tensors, dict(state))
    assert read.remarks == ()


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("state_dict", "state_dict_ema"), "state_dict"),
        (("model_ema", "model"), "model"),
        (("ema", "net"), "net"),
        (("ema_state_dict", "weights"), "weights"),
        (("teacher", "student"), "student"),
        (("generator_ema", "generator"), "generator"),
        (("model", "state_dict"), "state_dict"),
        (("modelEma", "classifier"), "classifier"),
    ],
)
def test_of_two_sets_the_weights_are_taken_and_the_key_chooses(
    network: nn.Module, tmp_path: Path, format_: str, names: tuple[str, str], taken: str
) -> None:
    state = dict(network.state_dict())
    sets = {name: {k: t + n for k, t in state.items()} for n, name in enumerate(names, 1)}
    path = save({"epoch": 3, **sets, "optimizer": {"state": sets}}, tmp_path / "x.pth", format_)
    read = read_checkpoint(path)
    assert_equal(read.tensors, sets[taken])
    (other,) = {*names} - {taken}
    (remark,) = read.remarks
    assert f"{taken} is used; use {other} instead with `--weights-key {other}`" in remark
    for name in names:
        chosen = read_checkpoint(path, name)
        assert_equal(chosen.tensors, sets[name])
        assert (chosen.remarks, chosen.key) == ((), None)


def test_sets_without_telling_names_are_asked_for(network: nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    path = save({"left": dict(state), "right": dict(state)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointRejected, match=r"left and right.*--weights-key left"):
        read_checkpoint(path)
    assert_equal(read_checkpoint(path, "right").tensors, dict(state))


def test_an_average_alone_and_nested_sets_are_found(network: nn.Module, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    loss = {"loss": {"weight": torch.ones(5)}, "rng": torch.ones(3)}
    for content in (
        {"state_dict_ema": state},
        {"model": {"state_dict": state}, **loss},
        {"trainer": {"model": {"weights": state}}},
    ):
        assert_equal(read_checkpoint(save(content, tmp_path / "x.pth")).tensors, state)


def test_dicts_that_share_dicts_are_walked_once(tmp_path: Path) -> None:
    """Each level of a thousand references multiplies the ways to the next one."""
    content: dict[str, Any] = {"a": torch.ones(1)}
    for _ in range(3):
        content = {f"k{i}": content for i in range(1000)}
    path = save(content, tmp_path / "x.pth")
    assert list(read_checkpoint(path).tensors) == ["a"]


@pytest.mark.parametrize(
    "wrapping", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module._orig_mod"]
)
def test_modules_wrapped_one_by_one_are_unwrapped(
    network: nn.Module, tmp_path: Path, wrapping: str
) -> None:
    state = dict(network.state_dict())
    first = next(iter(state)).partition(".")[0]
    wrapped = {
        f"model.{key.replace(f'{first}.', f'{first}.{wrapping}.', 1)}": tensor
        for key, tensor in state.items()
    }
    found = read_checkpoint(save(wrapped, tmp_path / "x.pth"), f"model.{wrapping}")
    assert_equal(found.tensors, {f"model.{key}": tensor for key, tensor in state.items()})
    assert found.key == "model."


def test_what_training_for_int8_observed_is_left_out_and_said(
    network: nn.Module, tmp_path: Path
) -> None:
    state = dict(network.state_dict())
    observed = {
        "0.weight_fake_quant.activation_post_process.min_val": torch.ones(4),
        "activation_post_process_0.scale": torch.ones(1),
        "0._input_quantizer._amax": torch.tensor(2.0),
    }
    read = read_checkpoint(save({**observed, **state}, tmp_path / "x.pth"))
    assert_equal(read.tensors, state)
    assert "ignored 3 tensors that are not weights: observers of quantization" in read.remarks[0]


def test_of_sets_with_no_telling_names_the_key_must_be_one(
    network: nn.Module, tmp_path: Path
) -> None:
    path = save({"a": network.state_dict(), "b": network.state_dict()}, tmp_path / "x.pth")
    with pytest.raises(CheckpointRejected, match=r"no weights called 'c'.*can be a or b"):
        read_checkpoint(path, "c")


def test_counters_of_profilers_and_averages_are_left_out_and_said(
    network: nn.Module, tmp_path: Path
) -> None:
    state = dict(network.state_dict())
    one = torch.ones(1, dtype=torch.float64)
    counted = {**state, "total_ops": one, "0.total_ops": one, "0.total_params": one}
    read = read_checkpoint(save({"n_averaged": torch.tensor(3), **counted}, tmp_path / "x.pth"))
    assert_equal(read.tensors, state)
    (remark,) = read.remarks
    assert "ignored 4 tensors that are not weights: counters" in remark
    assert "n_averaged, total_ops, 0.total_ops, ..." in remark


def test_the_averages_of_openmmlabs_hook_are_left_out_or_chosen(tmp_path: Path) -> None:
    state = {
        "backbone.conv1.weight": torch.ones(2),
        "backbone.bn1.running_mean": torch.ones(3),
        "head.fc.bias": torch.ones(4),
    }
    hook = {
        "ema_backbone_conv1_weight": torch.zeros(2),
        "ema_head_fc_bias": torch.zeros(4),
        "data_preprocessor.mean": torch.ones(3, 1, 1),
    }
    path = save({"meta": {"epoch": 1}, "state_dict": {**state, **hook}}, tmp_path / "x.pth")
    read = read_checkpoint(path)
    assert_equal(read.tensors, state)
    assert [text for text in read.remarks if "averages with `--weights-key ema`" in text]
    assert [text for text in read.remarks if "data_preprocessor.mean" in text]
    averaged = read_checkpoint(path, "ema").tensors
    assert [float(t.sum()) for t in averaged.values()] == [0.0, 3.0, 0.0]


def test_safetensors(network: nn.Module, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    save_file(state, tmp_path / "x.safetensors")
    read = read_checkpoint(tmp_path / "x.safetensors").tensors
    assert_equal(dict(sorted(read.items())), dict(sorted(state.items())))
    (tmp_path / "x.safetensors").rename(tmp_path / "renamed.bin")
    assert read_checkpoint(tmp_path / "renamed.bin").tensors.keys() == state.keys()


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "extra",
    [
        np.float64(0.5),
        np.arange(4.0),
        {"rng": np.random.default_rng(0).bit_generator.state, "n": np.int64(3)},
        defaultdict(list, {"loss": [1.0]}),
        deque([1, 2]),
        LogBuffer(),
        {LogBuffer()},
        Path("/some/where"),
    ],
    ids=lambda extra: type(extra).__name__,
)
def test_foreign_objects_beside_the_weights_do_no_harm(
    network: nn.Module, tmp_path: Path, format_: str, extra: Any
) -> None:
    state = network.state_dict()
    content = {"meta": {"extra": extra}, "state_dict": state, "optimizer": {"lr": 0.1}}
    assert_equal(read_checkpoint(save(content, tmp_path / "x.pth", format_)).tensors, dict(state))


@pytest.mark.parametrize("format_", FORMATS)
def test_types_views_and_parameters_survive_the_inert_reading(tmp_path: Path, format_: str) -> None:
    base = torch.arange(24.0)
    state = OrderedDict(
        whole=base,
        view=base[4:16].view(3, 4).T,
        scalar=torch.tensor(7),
        none=torch.empty(0, 3),
        parameter=nn.Parameter(torch.ones(2)),
        **{
            str(kind): torch.ones(3).to(kind)
            for kind in (torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool)
        },
    )
    plain = read_checkpoint(save({"state_dict": state}, tmp_path / "plain.pth", format_)).tensors
    inert = save({"state_dict": state, "meta": LogBuffer()}, tmp_path / "inert.pth", format_)
    assert_equal(read_checkpoint(inert).tensors, plain)


@pytest.mark.parametrize("format_", FORMATS)
def test_hostile_objects_are_never_run(
    network: nn.Module, tmp_path: Path, format_: str, hostile: Any, canary: Path
) -> None:
    state = dict(network.state_dict())
    beside = save({"state_dict": state, "meta": hostile}, tmp_path / "beside.pth", format_)
    assert_equal(read_checkpoint(beside).tensors, state)
    for content in (hostile, {"state_dict": hostile}, {**state, "x": hostile}, [hostile]):
        path = save(content, tmp_path / "hostile.pth", format_)
        with pytest.raises(CheckpointRejected, match=r"hostile\.pth"):
            read_checkpoint(path)
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".pth", ".pdparams", ".bin", ".safetensors", ".pdiparams"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_hostile_plain_pickles_are_never_run(
    tmp_path: Path, suffix: str, protocol: int, hostile: Any, canary: Path
) -> None:
    path = tmp_path / f"hostile{suffix}"
    path.write_bytes(pickle.dumps({"weight": hostile}, protocol=protocol))
    with pytest.raises(CheckpointRejected, match="hostile"):
        read_checkpoint(path)
    assert not canary.exists()


def test_the_canary_sings(hostile: Any, canary: Path) -> None:
    """The hostile objects of the tests above would really run."""
    pickle.loads(pickle.dumps(hostile))
    assert canary.exists()


def test_a_pickled_network_is_refused_with_the_way_out(tmp_path: Path, network: nn.Module) -> None:
    for content in (network, {"model": network}):
        with pytest.raises(CheckpointRejected, match=r"Sequential.*torch\.save\(model\.state_dict"):
            read_checkpoint(save(content, tmp_path / "x.pth"))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_gives_its_weights_and_its_program_is_not_run(
    tmp_path: Path, network: nn.Module
) -> None:
    path = tmp_path / "script.pt"
    torch.jit.script(network).save(path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "no_code.pt", "w") as target:
        for name in source.namelist():
            if "/code/" not in name:
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    for file in (path, tmp_path / "no_code.pt"):
        read = read_checkpoint(file).tensors
        assert set(read) == set(network.state_dict())
        for name, tensor in network.state_dict().items():
            assert torch.equal(read[name], tensor)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.script(nn.ReLU()).save(path)
    with pytest.raises(CheckpointRejected, match="no tensors"):
        read_checkpoint(path)


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    """They could unpack to any size; torch.save never compresses."""
    original = save({"a": torch.zeros(100_000)}, tmp_path / "x.pth")
    bomb = tmp_path / "bomb.pth"
    with (
        zipfile.ZipFile(original) as source,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(CheckpointRejected, match="compressed"):
        read_checkpoint(bomb)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state_dict": {"a": 1.0}}, "'a' is a float"),
        ({"state_dict": {"a": np.ones(2)}}, "'a' is a numpy"),
        ({"epoch": 3, "net": {}}, "'epoch' is a int"),
        ({3: torch.ones(1)}, "entry 3"),
        ({"a": torch.ones(2, device="meta")}, "sparse, quantized or empty"),
        ([torch.ones(1)], "a list"),
        (torch.ones(1), "a Tensor"),
        ({}, "no tensors"),
        ({"state_dict": {}}, "no tensors"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any, reason: str) -> None:
    path = save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointRejected, match=reason) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith("x.pth ")


def test_a_wrapper_within_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    with pytest.raises(CheckpointRejected):
        read_checkpoint(save(content, tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x08\x08\x12\x07pytorch", "ONNX"),
        (b"just some text", "is not a checkpoint"),
        (b"PK\x03\x04 but no archive", "truncated or damaged"),
    ],
)
def test_mistaken_files_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointRejected, match=reason):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.pth", tmp_path):
        with pytest.raises(CheckpointRejected, match="is not a file"):
            read_checkpoint(path)


def test_an_ordinary_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("folder/readme.txt", "hello")
    with pytest.raises(CheckpointRejected, match=r"torch\.save did not write it"):
        read_checkpoint(tmp_path / "x.zip")


def test_a_safetensors_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(16))
    with pytest.raises(CheckpointRejected, match="safetensors"):
        read_checkpoint(path)


@pytest.fixture(params=["zip", "legacy", "zip+meta", "legacy+meta", "safetensors", "pdparams"])
def small_file(request: pytest.FixtureRequest, tmp_path: Path, recorded: Path) -> Path:
    """One small checkpoint in each format."""
    state = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
    format_, _, meta = request.param.partition("+")
    if format_ == "safetensors":
        save_file(state, tmp_path / "x.safetensors")
        return tmp_path / "x.safetensors"
    if format_ == "pdparams":
        path = tmp_path / "x.pdparams"
        path.write_bytes((recorded / "paddle-3.3.1" / "protocol4.pdparams").read_bytes())
        return path
    extra = {"meta": np.float64(1)} if meta else {}
    return save({"state_dict": state, **extra}, tmp_path / "x.pth", format_)


def test_truncated_files_are_refused(small_file: Path) -> None:
    data = small_file.read_bytes()
    for length in range(1, len(data), max(1, len(data) // 60)):
        small_file.write_bytes(data[:length])
        with pytest.raises(CheckpointRejected, match=r"x\."):
            read_checkpoint(small_file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_files_give_tensors_or_one_sentence(small_file: Path) -> None:
    data = small_file.read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(data))] = rng.randrange(256)
        small_file.write_bytes(damaged)
        try:
            state = read_checkpoint(small_file).tensors
        except CheckpointRejected as error:
            assert "x." in str(error)  # noqa: PT017
        else:
            assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())

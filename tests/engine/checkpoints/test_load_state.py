"""Weights go into a network completely or not at all, and the sentence says what differs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.checkpoints.load_state import load_into
from engine.errors import CheckpointRejected

ID = "timm/small"


@pytest.fixture
def state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's weights, all moved by one."""
    return {key: tensor + 1 for key, tensor in network.state_dict().items()}


def test_fitting_weights_are_copied(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    load_into(network, state, ID)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[key])
        assert tensor.data_ptr() != state[key].data_ptr()


def test_half_precision_weights_are_widened(network: nn.Module) -> None:
    half = {key: tensor.half() for key, tensor in network.state_dict().items()}
    load_into(network, half, ID)
    assert torch.equal(network[0].weight, half["0.weight"].float())
    assert network[0].weight.dtype == torch.float32


def test_the_counter_of_batches_may_be_missing(
    network: nn.Module, state: dict[str, torch.Tensor]
) -> None:
    del state["1.num_batches_tracked"]
    load_into(network, state, ID)
    assert torch.equal(network[1].running_mean, state["1.running_mean"])


def test_the_number_of_classes_is_named(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    state |= {"3.weight": torch.ones(7, 4), "3.bias": torch.ones(7)}
    with pytest.raises(CheckpointRejected, match=r"has 7 classes, timm/small has 5"):
        load_into(network, state, ID)


def test_keys_are_named(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    for key in ("0.weight", "0.bias", "1.weight", "1.bias"):
        del state[key]
    state["extra.weight"] = torch.ones(1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointRejected) as caught:
        load_into(network, state, ID)
    text = str(caught.value)
    assert "4 keys are missing (0.weight, 0.bias, 1.weight, ...)" in text
    assert "1 key is unexpected (extra.weight)" in text
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_shapes_are_named(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    state["0.weight"] = torch.ones(4, 3, 1, 1)
    with pytest.raises(CheckpointRejected) as caught:
        load_into(network, state, ID)
    assert "0.weight is [4, 3, 1, 1] in the checkpoint and [4, 3, 3, 3] in" in str(caught.value)


def test_a_wider_classifier_is_not_mistaken_for_more_classes(
    network: nn.Module, state: dict[str, torch.Tensor]
) -> None:
    state["3.weight"] = torch.ones(5, 8)
    with pytest.raises(CheckpointRejected, match=r"3\.weight is \[5, 8\]"):
        load_into(network, state, ID)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(
    network: nn.Module, state: dict[str, torch.Tensor], value: float
) -> None:
    state["1.running_var"][2] = value
    with pytest.raises(CheckpointRejected, match=r"1\.running_var contains non-finite"):
        load_into(network, state, ID)


def test_quantized_values_are_refused(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    state["0.weight"] = state["0.weight"].to(torch.int8)
    with pytest.raises(CheckpointRejected, match=r"int8.*unquantized"):
        load_into(network, state, ID)

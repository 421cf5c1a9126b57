"""Merged groups: equal integers, and only where the kernel gains by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from engine.build.int8.merged_groups.layers import (
    find_grouped_convolutions,
    merge_groups,
    widen,
)
from engine.build.int8.qdq.weights import MAX_PAIR_SUM
from engine.onnx.graph_io import strip_exporter_metadata
from engine.onnx.graph_view import group_count
from engine.onnx.macs import count_compute
from engine.specs import TargetName
from tests.support.grouped import GROUPS, WIDTH, grouped_model, int8_of
from tests.support.mobile import batches, fused, scores

GROUPED = ("c1", "c3")


def copy_of(model: ModelProto) -> ModelProto:
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied


def merged(model: ModelProto, factor: int) -> ModelProto:
    wide = copy_of(model)
    merge_groups(wide, dict.fromkeys(GROUPED, factor))
    return wide


def weights_of(model: ModelProto, output: str) -> np.ndarray:
    name = f"{output}/w/stored"
    return next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)


@pytest.mark.parametrize("target", [TargetName.X86_VNNI, TargetName.X86, TargetName.ARM])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_scores_are_equal_to_the_bit(target: TargetName, relu: bool, bias: bool) -> None:
    model, _ = int8_of(grouped_model(bias, relu), target)
    images = np.concatenate(batches())
    expected = scores(model, images)
    assert len(np.unique(expected)) > expected.size // 2
    for factor in (2, 4, 8):
        wide = merged(model, factor)
        onnx.checker.check_model(wide, full_check=True)
        assert np.array_equal(expected, scores(wide, images)), factor


def test_what_the_test_needs_is_in_the_network() -> None:
    """Scales for each channel, and zero points other than 0, so that padding is not 0 either."""
    model, _ = int8_of(grouped_model(relu=False))
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert len(np.unique(constants["c1/w/steps"])) == WIDTH
    assert constants["c0/zero"] not in (0, 255)
    assert constants["c2/zero"] not in (0, 255)


def test_merged_convolutions_run_in_integers(tmp_path: Path) -> None:
    model, _ = int8_of(grouped_model())
    (tmp_path / "wide").mkdir()
    assert fused(merged(model, 4), tmp_path / "wide") == fused(model, tmp_path)


def test_weights_are_blocks_on_the_diagonal() -> None:
    weights = np.arange(1, 8 * 2 * 9 + 1, dtype=np.int8).reshape(8, 2, 3, 3)
    wide = widen(weights, groups=4, factor=2)
    assert wide.shape == (8, 4, 3, 3)
    for output in range(8):
        group = output // 2  # two outputs a group
        start = 2 * (group % 2)  # two inputs a group, two groups in each new one
        assert np.array_equal(wide[output, start : start + 2], weights[output])
        assert np.count_nonzero(wide[output]) == weights[output].size


def test_only_grouped_convolutions_are_found_and_depthwise_ones_are_left_alone() -> None:
    model, prepared = int8_of(grouped_model())
    found = find_grouped_convolutions(model, prepared.placement.view)
    assert list(found) == list(GROUPED)
    first, last = found.values()
    assert (first.inputs, first.outputs, first.groups) == (WIDTH, WIDTH, GROUPS)
    assert (last.outputs, last.strides) == (2 * WIDTH, (2, 2))
    assert str(first) == "32 to 32 channels, 8 groups, 3x3, stride 1, 16x16"
    assert first.factors(most_group_inputs=16) == [1, 2, 4]


def test_weights_with_another_use_or_another_zero_are_left_alone() -> None:
    model, prepared = int8_of(grouped_model())
    model.graph.node.append(helper.make_node("Identity", ["c1/w"], ["seen"]))
    zeros = next(t for t in model.graph.initializer if t.name == "c3/w/zeros")
    zeros.CopyFrom(numpy_helper.from_array(np.ones(2 * WIDTH, np.int8), zeros.name))
    assert find_grouped_convolutions(model, prepared.placement.view) == {}


@pytest.mark.parametrize(("group_inputs", "found"), [(3, []), (4, list(GROUPED))])
def test_groups_of_an_odd_width_are_left_alone_where_pairs_are_bounded(
    group_inputs: int, found: list[str]
) -> None:
    model, prepared = int8_of(grouped_model(group_inputs=group_inputs), TargetName.X86)
    view = prepared.placement.view
    assert list(find_grouped_convolutions(model, view)) == list(GROUPED)
    assert list(find_grouped_convolutions(model, view, even_only=True)) == found


def test_no_pair_of_weights_exceeds_its_bound_when_merged() -> None:
    """In the order of the kernel: channels in the inner loop, kernel positions in the outer one."""
    model, _ = int8_of(grouped_model(), TargetName.X86)
    assert _largest_pair(model) > 100
    for factor in (2, 4, 8):
        assert _largest_pair(merged(model, factor)) <= MAX_PAIR_SUM


def _largest_pair(model: ModelProto) -> int:
    rows = np.moveaxis(weights_of(model, "c1"), 1, -1).reshape(WIDTH, -1).astype(int)
    return int(np.abs(rows[:, 0::2] + rows[:, 1::2]).max())


def test_a_factor_that_does_not_divide_the_groups_is_refused() -> None:
    model, _ = int8_of(grouped_model())
    with pytest.raises(ValueError, match="8 groups of c1 do not divide by 3"):
        merge_groups(model, {"c1": 3})


@pytest.mark.parametrize("imported", [False, True])
def test_zeros_are_not_counted(imported: bool) -> None:
    model, _ = int8_of(grouped_model())
    wide = merged(model, 8)
    if imported:
        strip_exporter_metadata(wide)
    convolution = next(node for node in wide.graph.node if node.output[0] == "c1")
    assert group_count(convolution) == 1
    assert weights_of(wide, "c1").size == 8 * weights_of(model, "c1").size
    assert count_compute(wide) == count_compute(model)


def test_the_added_bytes_are_those_of_the_file() -> None:
    model, _ = int8_of(grouped_model())
    wide = copy_of(model)
    added = merge_groups(wide, {"c1": 4, "c3": 2})
    assert added == (3 * weights_of(model, "c1").nbytes) + weights_of(model, "c3").nbytes
    assert 0 <= wide.ByteSize() - model.ByteSize() - added < 100

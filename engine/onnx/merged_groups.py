"""The mark of a convolution with merged groups, by which its zeros are not counted.

A grouped convolution computes the same as one with fewer, wider groups whose weights are zero
outside the blocks on the diagonal. Nothing in the shape of the weights tells the two apart.
"""

from __future__ import annotations

from onnx import NodeProto, StringStringEntryProto

MERGED_GROUPS = "merged_groups"


def mark_merged(node: NodeProto, factor: int) -> None:
    """Notes in a convolution that each of its groups holds `factor` groups of the model."""
    node.metadata_props.append(StringStringEntryProto(key=MERGED_GROUPS, value=str(factor)))


def merged_factor(node: NodeProto) -> int:
    """Number of the model's groups in each group of a convolution; 1 where none were merged."""
    for entry in node.metadata_props:
        if entry.key == MERGED_GROUPS and entry.value.isdecimal():
            return max(1, int(entry.value))
    return 1

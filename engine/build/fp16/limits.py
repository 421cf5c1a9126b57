"""What half precision (IEEE 754 binary16) holds, and the operators known to work in it."""

from __future__ import annotations

LARGEST = 65504.0
MARGIN = 2.0
"""Values were seen on some images only; others may be so many times larger."""
LIMIT = LARGEST / MARGIN
VANISHED = 0.01
"""Weights that lose more than this share of their size by rounding are kept; usual is 0.0002."""
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
SUMMING = frozenset({"GlobalAveragePool", "ReduceMean", "ReduceSum"})
"""They add up a feature map before they divide; a kernel may do so in half precision."""
HALF = (
    WEIGHTED
    | SUMMING
    | {"Add", "Sub", "Mul", "Div", "Sqrt", "Pow", "Exp", "Erf", "Neg", "Abs", "Reciprocal"}
    | {"Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Elu", "Selu"}
    | {"Tanh", "Gelu", "Softplus", "Mish", "Softmax", "LogSoftmax"}
    | {"MaxPool", "AveragePool", "GlobalMaxPool", "ReduceMax"}
    | {"BatchNormalization", "InstanceNormalization", "LayerNormalization"}
    | {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout"}
    | {"Concat", "Split", "Slice", "Gather", "Pad", "Expand", "Tile", "Where"}
    | {"DepthToSpace", "SpaceToDepth"}
)

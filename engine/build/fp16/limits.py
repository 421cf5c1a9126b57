"""The range of fp16 (IEEE 754 binary16), and the operators that run in fp16."""

from __future__ import annotations

LARGEST = 65504.0
MARGIN = 2.0
"""Safety factor: values of other images may be larger than those of the checked images."""
LIMIT = LARGEST / MARGIN
VANISHED = 0.01
"""Max relative rounding error (L2) of weights in fp16; a typical error is 0.0002."""
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
SUMMING = frozenset({"GlobalAveragePool", "ReduceMean", "ReduceSum"})
"""Operators that sum a feature map before dividing; a kernel may compute the sum in fp16."""
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

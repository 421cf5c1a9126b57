"""Where the models of New run come from."""

from __future__ import annotations

CATALOG, OTHER_TIMM, ONNX, BUILT_IN = (
    "Catalog",
    "Other timm model",
    "ONNX file",
    "Built-in demo",
)

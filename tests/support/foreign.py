"""Libraries that the Streamlit process must not load."""

from __future__ import annotations

FOREIGN = ("torch", "torchvision", "timm", "onnxruntime", "openvino")

"""Compute cost of a model per image: multiply-accumulates, parameters, activations."""

from engine.onnx.macs.counting import Compute, count_compute

__all__ = ["Compute", "count_compute"]

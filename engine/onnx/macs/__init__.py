"""What one image costs: multiply-accumulates (1 GMAC = 2 GFLOPs), parameters, activations."""

from engine.onnx.macs.counting import Compute, count_compute

__all__ = ["Compute", "count_compute"]

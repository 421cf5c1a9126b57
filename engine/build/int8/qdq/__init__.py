"""Placement of QuantizeLinear and DequantizeLinear, and their parameters."""

"""Where QuantizeLinear and DequantizeLinear stand, and their parameters."""

"""Graph passes before and after quantization; none changes what the graph computes."""

"""Rewrites of the graph before quantization; each computes the same."""

"""Channels equalized across layers."""

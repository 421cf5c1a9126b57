"""Weights files: lookup, download, cached digests, manual registration."""

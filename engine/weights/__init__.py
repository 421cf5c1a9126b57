"""Weights: found, downloaded, kept with their digests, registered by hand."""

"""The model catalog, and the FLOPs conventions of its sources."""

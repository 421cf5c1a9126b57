"""Merges neighboring groups of integer convolutions, by the measured time of their shapes."""

"""Profiles: the time of each layer in one inference, from the profiler of its runtime."""

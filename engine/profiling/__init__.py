"""Profiles: the time of each graph node in one inference, from the profiler of ONNX Runtime."""

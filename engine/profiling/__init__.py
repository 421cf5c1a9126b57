"""Where the time of one inference goes, node by node, as ONNX Runtime's own profiler has it."""

"""Foreign ONNX files: read, understood, and brought into the form of our own exports."""

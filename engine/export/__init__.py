"""Export: writes a model with its weights to an ONNX or TorchScript file and verifies it."""

"""Export: a model with its weights becomes one ONNX or TorchScript file, checked."""

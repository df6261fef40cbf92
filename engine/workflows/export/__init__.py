"""A finished network as a file for other programs: ONNX, TorchScript, timm, safetensors."""

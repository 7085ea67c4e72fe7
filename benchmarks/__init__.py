"""What privacy costs: our `/classify` beside a plain service and a bare ONNX Runtime loop, measured side by side."""

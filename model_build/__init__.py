"""From torchvision's ResNet50, or any ONNX classifier of the same contract, to a checked model directory.

A model directory holds the ONNX graph, its labels and the manifest `model.json` (docs/architecture.md). Nothing is
written that was not run first:

    python -m model_build build --out model            # pretrained weights, fetched and checked
    python -m model_build build --out model --untrained --seed 0
    python -m model_build build --out model --onnx classifier.onnx --labels labels.txt
    python -m model_build check model
"""

import os

# ONNX Runtime's wheels record what they run and send it to their vendor, unless told before they are loaded not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

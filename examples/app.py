"""The example's function: a tensor in, the five likeliest classes as JSON out.

The tensor is normalised float32 (1, 3, 224, 224), 602112 bytes; `preprocess.py` makes it of a photo. In the
function's folder lie `onnx_model/resnet50.onnx`, `imagenet_classes.txt` and the packages that it imports.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import json
from pathlib import Path

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("onnx_model/resnet50.onnx")
labels = Path("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()


def cape_handler(content: bytes) -> str:
    tensor = np.frombuffer(content, "<f4").reshape(1, 3, 224, 224)
    (logits,) = session.run(None, {session.get_inputs()[0].name: tensor})
    scores = np.exp(logits[0] - logits[0].max())
    scores /= scores.sum()
    return json.dumps({labels[each]: float(scores[each]) for each in np.argsort(-scores)[:5]})

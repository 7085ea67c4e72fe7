"""Export torchvision's ResNet50 to ONNX: `python convert_resnet_to_onnx.py`, in the project's environment.

It writes `onnx_model/resnet50.onnx` and `imagenet_classes.txt`. More options, such as --untrained, --weights FILE or
--onnx FILE, are those of `python -m model_build build`.
"""

import shutil
import sys
from pathlib import Path

from model_build.cli import main

folder = Path("onnx_model")
status = main(["build", "--out", str(folder), *sys.argv[1:]])
labels = folder / "imagenet_classes.txt"
if status == 0 and labels.exists():
    shutil.copy(labels, labels.name)
sys.exit(status)

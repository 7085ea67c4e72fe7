"""Export torchvision's ResNet50 to ONNX: `python export_model.py --out onnx_model`, in the project's environment.

More options, such as --untrained or --weights FILE, are those of `python -m model_build build`.
"""

import sys

from model_build.cli import main

sys.exit(main(["build", *sys.argv[1:]]))

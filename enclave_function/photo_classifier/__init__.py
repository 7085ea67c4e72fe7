"""The parts of the deployed function: from the bytes of an image to ranked classes.

Needs only numpy, onnxruntime and Pillow, so that it runs in any Cape host's worker.
"""

import os

# ONNX Runtime's wheels record what they run and send it to their vendor, unless told before they are loaded not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

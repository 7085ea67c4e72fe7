"""What privacy costs: our `/classify` beside a plain service and a bare ONNX Runtime loop, measured side by side."""

import os

# ONNX Runtime's wheels record what they run and send it to their vendor, unless told before they are loaded not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

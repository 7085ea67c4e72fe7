"""Classify a photo in the enclave: `python run_prediction.py [IMAGE]`, with TOKEN and FUNCTION_ID exported."""

import json
import os

from caller import explain_failures, photo, variable
from preprocess import tensor
from pycape import Cape

explain_failures()
content = tensor(photo())
cape = Cape()
# With the checksum, nothing is sent to any other function.
function = cape.function(variable("FUNCTION_ID"), checksum=os.environ.get("FUNCTION_CHECKSUM"))
result = cape.run(function, cape.token(variable("TOKEN")), content)
for label, score in json.loads(result).items():
    print(f"{label}: {100 * score:.1f}%")

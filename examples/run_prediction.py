"""Classify a photo in the enclave: `python run_prediction.py IMAGE`, with TOKEN and FUNCTION_ID in the environment."""

import json
import os

from preprocess import argument, tensor
from pycape import Cape

image = argument("IMAGE")
cape = Cape()
# With the checksum, nothing is sent to any other function.
function = cape.function(os.environ["FUNCTION_ID"], checksum=os.environ.get("FUNCTION_CHECKSUM"))
result = cape.run(function, cape.token(os.environ["TOKEN"]), tensor(image))
for label, score in json.loads(result).items():
    print(f"{score:7.2%}  {label}")

"""Classify an encrypted photo: `python run_encrypt.py IMAGE`, with TOKEN and FUNCTION_ID in the environment.

The key is the own account's, which `cape login` or `cape key` has put into Cape's folder.
"""

import json
import os

from preprocess import argument, tensor
from pycape import Cape

image = argument("IMAGE")
cape = Cape()
function = cape.function(os.environ["FUNCTION_ID"], checksum=os.environ.get("FUNCTION_CHECKSUM"))
encrypted = cape.encrypt(tensor(image))
result = cape.run(function, cape.token(os.environ["TOKEN"]), encrypted)
for label, score in json.loads(result).items():
    print(f"{score:7.2%}  {label}")

"""Classify an encrypted photo: `python run_encrypt.py [IMAGE]`, with TOKEN and FUNCTION_ID exported.

The key is the own account's, which `cape signup`, `cape login` or `cape key` has put into Cape's folder.
"""

import json
import os

from caller import explain_failures, photo, variable
from preprocess import tensor
from pycape import Cape

explain_failures()
content = tensor(photo())
cape = Cape()
function = cape.function(variable("FUNCTION_ID"), checksum=os.environ.get("FUNCTION_CHECKSUM"))
result = cape.run(function, cape.token(variable("TOKEN")), cape.encrypt(content))
for label, score in json.loads(result).items():
    print(f"{label}: {100 * score:.1f}%")

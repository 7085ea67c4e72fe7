"""Deploy a function and make a token for it: `eval "$(python deploy.py [FOLDER])"`. FOLDER may be a zip file.

It calls the `cape` command, as pycape does; `cape signup` or `cape login` comes first.
"""

from caller import argument, explain_failures
from pycape.experimental import cli

folder = argument("FOLDER", "onnx_resnet_deploy")
explain_failures()
function = cli.deploy(folder)
token = cli.token("example", expiry="86400")
print(f"export FUNCTION_ID={function.id}")
print(f"export FUNCTION_CHECKSUM={function.checksum}")
print(f"export TOKEN={token.raw}")

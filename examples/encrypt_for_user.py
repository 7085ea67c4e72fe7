"""Encrypt a greeting for an account's functions: `python encrypt_for_user.py NAME`.

The account's key comes from the enclave, with evidence. No other party can read the result, not even its sender.
"""

from caller import argument, explain_failures
from pycape import Cape

name = argument("NAME")
explain_failures()
print("Encrypted:", Cape().encrypt(f"hi {name}".encode(), username=name).decode())

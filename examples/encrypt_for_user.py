"""Encrypt standard input for an account's functions: `echo secret | python encrypt_for_user.py NAME`.

The account's key comes from the enclave, with evidence. No other party can read the result, not even its sender.
"""

import sys

from preprocess import argument
from pycape import Cape

name = argument("NAME")
print(Cape().encrypt(sys.stdin.buffer.read(), username=name).decode())

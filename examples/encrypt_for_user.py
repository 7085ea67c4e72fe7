"""Encrypt standard input for somebody's functions: `echo secret | python encrypt_for_user.py NAME`.

Their key comes from the enclave, with evidence; nobody else can read the result, its sender neither.
"""

import sys

from preprocess import argument
from pycape import Cape

name = argument("NAME")
print(Cape().encrypt(sys.stdin.buffer.read(), username=name).decode())

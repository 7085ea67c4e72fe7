"""Encrypt a photo for the own functions: `python encrypt.py IMAGE > photo.cape`; `cape run -f photo.cape` takes it."""

from preprocess import argument, tensor
from pycape import Cape

print(Cape().encrypt(tensor(argument("IMAGE"))).decode())

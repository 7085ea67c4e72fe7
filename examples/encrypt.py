"""Encrypt a text for the own functions: `python encrypt.py [TEXT]`. No other account's functions can read it."""

from caller import argument, explain_failures
from pycape import Cape

text = argument("TEXT", "hello world")
explain_failures()
print("Encrypted:", Cape().encrypt(text.encode()).decode())

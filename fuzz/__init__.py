"""Fuzzing of every parser of untrusted input: `python -m fuzz run`, or `make fuzz`. See docs/fuzzing.md.

A harness (`fuzz/targets/NAME.py`) is a function of bytes, so that tests can replay seeds and findings without the
fuzzing engine. Only `fuzz/engine.py` needs atheris.
"""

"""Fuzzing of everything that parses what a stranger sends: `python -m fuzz run`, or `make fuzz`. See docs/fuzzing.md.

A harness (`fuzz/targets/NAME.py`) is an ordinary function of bytes, so that tests replay seeds and findings without the
fuzzing engine; only `fuzz/engine.py` needs atheris.
"""

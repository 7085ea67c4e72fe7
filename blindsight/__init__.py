"""Confidential image classification: the protocol core and the caller's side."""

__version__ = "0.1.0"

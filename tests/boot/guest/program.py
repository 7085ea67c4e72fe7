"""Runs tests inside the booted image: what `/init` starts in the test image, in the runtime's place.

Its arguments are pytest's. It runs as the runtime does: root, first child of the first process.
"""

from __future__ import annotations

import os
import sys
import time

import pytest


def main() -> int:
    """Print what pytest finds, and how long it took; returns pytest's status."""
    os.chdir("/app")
    # Neither tests nor what they start write compiled files; this kernel's root has none to write to anyway.
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH="/app", HOME="/tmp", OPENBLAS_NUM_THREADS="1")
    began = time.monotonic()
    status = int(pytest.main(sys.argv[1:]))
    print(f"guest: pytest ended with status {status} after {time.monotonic() - began:.0f} s", flush=True)
    return status

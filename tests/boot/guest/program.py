"""Runs tests inside the booted image: what `/init` starts in the test image, in the runtime's place.

Its arguments are pytest's. It runs as the runtime does: root, first child of the first process.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import time

import pytest

from enclave_runtime.confinement import libc

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def _give_attacks_something_to_reach() -> None:
    """An enclave has no network and no place for device files: attacks would fail without any confinement."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    libc.mount(None, "/dev/shm", None, libc.MS_REMOUNT | libc.MS_NOSUID)


def main() -> int:
    """Print what pytest finds, and how long it took; returns pytest's status."""
    os.chdir("/app")
    # Neither tests nor what they start write compiled files; this kernel's root has none to write to anyway.
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH="/app", HOME="/tmp", OPENBLAS_NUM_THREADS="1")
    _give_attacks_something_to_reach()
    began = time.monotonic()
    status = int(pytest.main(sys.argv[1:]))
    print(f"guest: pytest ended with status {status} after {time.monotonic() - began:.0f} s", flush=True)
    return status

"""`python -m enclave_runtime serve|measure|policy|files|confinement`: begins anew through `boot`, from sources.

Python has then read this file and the package's first one, possibly from compiled ones: where that matters, start
`boot.py enclave_runtime.commands` by its path.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    boot = str(Path(__file__).with_name("boot.py"))
    command = [sys.executable, "-I", "-S", "-B", boot, "enclave_runtime.commands", *sys.argv[1:]]
    os.execv(sys.executable, command)  # noqa: S606 -- this interpreter

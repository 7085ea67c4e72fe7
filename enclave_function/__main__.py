"""`python -m enclave_function bundle build|inspect|encrypt`, `answers`, `inputs` and `times`."""

from __future__ import annotations

import signal
import sys

from blindsight import interrupt

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` has had enough; that is no error.
    sys.exit(interrupt.run("enclave_function.commands"))

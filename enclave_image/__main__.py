"""`python -m enclave_image build|packages|kernels`."""

from __future__ import annotations

import signal
import sys

from blindsight import interrupt

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # As in `… | head`: a reader that closes the pipe is not an error.
    sys.exit(interrupt.run("enclave_image.commands"))

"""`python -m enclave_image build|packages|kernels`."""

from __future__ import annotations

import signal
import sys

from enclave_image.commands import main

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` has had enough; that is no error.
    sys.exit(main())

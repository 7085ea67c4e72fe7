"""`python -m model_build`."""

from __future__ import annotations

import sys

from blindsight import interrupt

if __name__ == "__main__":
    sys.exit(interrupt.run("model_build.cli"))

"""`python -m release_build`."""

from __future__ import annotations

import sys

from release_build.cli import main

if __name__ == "__main__":
    sys.exit(main())

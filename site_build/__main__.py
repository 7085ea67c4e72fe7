"""`python -m site_build --out FOLDER` builds the documentation site."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blindsight.arguments import a_path
from site_build.errors import SiteError


def main() -> int:
    """Build the site. Exit status 1 if a page has a fault: each is one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m site_build", description=__doc__)
    parser.add_argument("--out", type=a_path, required=True, help="folder for the site; an earlier one is replaced")
    arguments = parser.parse_args()
    from site_build.build import build  # noqa: PLC0415 -- Sphinx, and all units

    try:
        build(Path(__file__).resolve().parents[1], arguments.out)
    except SiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

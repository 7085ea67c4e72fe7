"""The `blindsight` command, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path


def blindsight(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it in `folder` with a wide terminal, so that no line is wrapped."""
    return subprocess.run(
        [sys.executable, "-m", "blindsight_cli.main", *map(str, arguments)],
        cwd=folder,
        env={**environment(folder), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

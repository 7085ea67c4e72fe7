"""The `blindsight` command, as a user runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import preloaded
from tests.support.processes import environment

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def blindsight(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it in `folder` with a wide terminal, so that no line is wrapped."""
    return preloaded.run_text(
        "blindsight_cli.main", arguments, cwd=folder, env={**environment(folder), "COLUMNS": "400"}
    )

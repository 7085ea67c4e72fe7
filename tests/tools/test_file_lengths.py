"""No source file has more than 500 lines: one that grows beyond them holds more than one concept."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MOST = 500
SOURCES = ["*.py", "*.ts", "*.mjs", "*.sh"]


def test_no_file_is_too_long() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *SOURCES]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(listed) > 100
    files = [REPOSITORY / name for name in listed]
    lengths = {
        str(file.relative_to(REPOSITORY)): len(file.read_bytes().splitlines()) for file in files if file.exists()
    }
    assert {name: length for name, length in lengths.items() if length > MOST} == {}

"""Wheels, installed into environments of their own, and the commands that they bring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def build(folder: Path) -> Path:
    """The wheel of this source tree, written into `folder`."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--wheel-dir", str(folder), str(REPOSITORY)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, folder: Path) -> Path:
    """A virtual environment with the wheel, and with this one's packages in the place of what it depends on."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A plain path: the link to this source tree that lies there is not followed from here.
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")
    return folder


def run(environment: Path, *command: str, folder: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """What a program of the environment prints, run in `folder` without settings of this process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BLINDSIGHT_", "PYTHON"))}
    program = str(environment / "bin" / command[0])
    done = subprocess.run([program, *command[1:]], cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done

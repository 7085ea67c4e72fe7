"""Node.js and npm, and the JavaScript client as npm packs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "js"
OLDEST = 20
"""The first version of Node.js that the client and the checks of its sources run on."""


def node() -> str:
    """Its path; skips the test where it, npm or a version that is new enough is missing."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("Node.js with npm is not installed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"Node.js {version} is older than {OLDEST}")
    return found


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints, once it has succeeded."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources(folder: Path) -> Path:
    """A copy of the client's sources in `folder`, as deep as in the repository, with the pinned tools installed."""
    node()
    copy = folder / "clients" / "js"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("node_modules"))
    for name in ("blindsight", "tests", "vectors"):
        (folder / name).symlink_to(ROOT / name)
    install(copy)
    return copy


def install(package: Path) -> None:
    """`npm ci`, of what its lock file says."""
    run("npm", "ci", "--ignore-scripts", "--silent", "--no-audit", "--no-fund", cwd=package)


def packed(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The committed client as `npm pack` makes it, and what npm says of it."""
    node()
    folder.mkdir(parents=True, exist_ok=True)
    (said,) = json.loads(run("npm", "pack", CLIENT, "--json", "--pack-destination", folder, cwd=folder))
    return folder / said["filename"], said


def app(folder: Path) -> Path:
    """A new app in `folder` that has installed the packed client, and nothing else."""
    tarball, _ = packed(folder / "packed")
    app = folder / "app"
    app.mkdir()
    (app / "package.json").write_text('{"name": "app", "private": true, "type": "module"}')
    run("npm", "install", tarball, "--offline", "--ignore-scripts", "--silent", "--no-audit", "--no-fund", cwd=app)
    return app


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

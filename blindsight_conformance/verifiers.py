"""The verifiers that the suite can run on, and the command of each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "clients" / "js"
FOREIGN = ROOT / ".venv-conformance"
"""Folder of the environments of other projects' verifiers, whose packages must not mix with ours."""

_DRIVERS = Path(__file__).parent / "drivers" / "foreign"
_PYTHON, _NODE = "python", "node"


class UnavailableError(Exception):
    """The verifier cannot run on this machine. The message has the reason."""


@dataclass(frozen=True)
class Verifier:
    """A verifier and its command. `codes`: compare also the code and step of its refusals, not only verdicts."""

    name: str
    command: tuple[str, ...]
    codes: bool = False


@dataclass(frozen=True)
class Foreign:
    """A published verifier of another project. `lacks` states what it leaves to its caller."""

    name: str
    platform: str
    package: str
    version: str
    lacks: str
    also: tuple[str, ...] = ()

    def prepared(self) -> Verifier:
        """Make the environment unless it exists, which needs network. Raises `UnavailableError`."""
        folder = FOREIGN / self.name
        if self.platform == _PYTHON:
            return Verifier(self.name, self._python(folder))
        return Verifier(self.name, self._node(folder))

    def _python(self, folder: Path) -> tuple[str, ...]:
        python = folder / "bin" / "python"
        if not (folder / "installed").exists():
            _run("venv", [sys.executable, "-m", "venv", "--clear", str(folder)])
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run("pip", [*pip, f"{self.package}=={self.version}", *self.also])
            (folder / "installed").touch()
        return (str(python), "-W", "ignore", "-m", f"blindsight_conformance.drivers.foreign.{self.name}")

    def _node(self, folder: Path) -> tuple[str, ...]:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise UnavailableError("Node.js with npm is not installed")
        if not (folder / "installed").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
            install = [
                npm,
                "install",
                "--prefix",
                str(folder),
                "--ignore-scripts",
                "--silent",
                "--no-audit",
                "--no-fund",
            ]
            _run("npm", [*install, f"{self.package}@{self.version}", *self.also])
            (folder / "installed").touch()
        driver = folder / f"{self.name}.mjs"
        shutil.copyfile(_DRIVERS / driver.name, driver)
        return (node, str(driver))


FOREIGNS = (
    Foreign("pycape", _PYTHON, "pycape", "3.1.1", "age of the document"),
    Foreign(
        "epsilon",
        _PYTHON,
        "epsilon-attestation-verifier",
        "1.1.0",
        "nonce and age; one value for registers 0 to 2 each",
    ),
    Foreign("attested_relay", _PYTHON, "attested-relay", "0.2.0a4", "registers but 0"),
    Foreign("tee_verifier", _NODE, "@0xsequence/tee-verifier", "0.1.2", "age of the document"),
)


def python() -> Verifier:
    """This project's Python verifier."""
    return Verifier("python", (sys.executable, "-m", "blindsight_conformance.drivers.ours"), codes=True)


def typescript() -> Verifier:
    """The verifier of the built JavaScript client, in Node.js. Raises `UnavailableError` if Node.js is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise UnavailableError("Node.js with npm is not installed")
    if not (CLIENT / "node_modules" / "esbuild").exists():
        _run("npm", [npm, "ci", "--prefix", str(CLIENT), "--ignore-scripts", "--silent", "--no-audit", "--no-fund"])
    return Verifier("typescript", (node, str(CLIENT / "test" / "conformance.mjs")), codes=True)


def _run(what: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UnavailableError(f"{what} failed: {''.join(last)}")

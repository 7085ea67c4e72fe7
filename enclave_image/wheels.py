"""The wheels of `requirements/enclave.txt` for the image's Python: pip downloads them by hash, this module unpacks."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from enclave_image.errors import ImageError
from enclave_image.packages import digest

REQUIREMENTS: Final = Path(__file__).resolve().parents[1] / "requirements" / "enclave.txt"

_PYTHON: Final = "3.11"
_PLATFORMS: Final = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(36, 16, -1))
"""Platform tags for the image's C library, 2.36, and older ones (PEP 600)."""


_NEXT: Final = ("Collecting", "Processing")
"""Beginnings of pip's progress lines about a distribution."""


@dataclass(frozen=True)
class Wheel:
    """A downloaded wheel. The name of `file` contains distribution and version (PEP 427)."""

    distribution: str
    version: str
    sha256: str
    file: Path

    @classmethod
    def of(cls, file: Path) -> Wheel:
        distribution, version, *_ = file.name.split("-")
        return cls(distribution.lower().replace("_", "-"), version, digest(file), file)

    def described(self) -> dict[str, str]:
        return {"name": self.distribution, "version": self.version, "sha256": self.sha256, "file": self.file.name}


def locked(requirements: Path = REQUIREMENTS) -> dict[str, frozenset[str]]:
    """Distribution to the SHA-256 values (hexadecimal) that the requirements file accepts. Raises `OSError`."""
    text = requirements.read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name = re.split(r"[=\s;\[]", line.strip(), maxsplit=1)[0].lower()
            found[name] = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def fetch(cache: Path, requirements: Path = REQUIREMENTS) -> list[Wheel]:
    """Download one wheel for each locked distribution into `cache`, and return them sorted by name.

    Raises `ImageError` if pip fails, a distribution has no wheel, or a digest is not locked.
    """
    accepted = locked(requirements)
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    kept = cache / f"wheels-{key}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as place:
            draft = Path(place) / "wheels"
            _download(requirements, draft)
            draft.rename(kept)
    wheels = sorted((Wheel.of(file) for file in kept.glob("*.whl")), key=lambda wheel: wheel.distribution)
    if [wheel.distribution for wheel in wheels] != sorted(accepted):
        raise ImageError(f"{kept} does not have one wheel for each requirement.", f"Remove {kept} and build again.")
    for wheel in wheels:
        if wheel.sha256 not in accepted[wheel.distribution]:
            raise ImageError(f"{wheel.file.name} has another SHA-256 than locked.", f"Remove {kept} and build again.")
    return wheels


def contents(wheel: Wheel) -> dict[str, bytes]:
    """The files of a wheel for site-packages, path to content: without bytecode, commands and installer records.

    Raises `ImageError` for a wheel that cannot be read.
    """
    files = {}
    try:
        with zipfile.ZipFile(wheel.file) as archive:
            for info in archive.infolist():
                name = _installed(info.filename)
                if not info.is_dir() and name is not None and not name.endswith((".pyc", ".dist-info/RECORD")):
                    files[name] = archive.read(info)
    except (OSError, zipfile.BadZipFile) as error:
        raise ImageError(f"{wheel.file.name} cannot be read.", "Remove it and build again.") from error
    return files


def _installed(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if not parts[0].endswith(".data"):
        return name
    return "/".join(parts[2:]) if parts[1] in {"purelib", "platlib"} else None


def _download(requirements: Path, folder: Path) -> None:
    command = [
        sys.executable, "-m", "pip", "download", "--progress-bar", "off", "--disable-pip-version-check",
        "--dest", str(folder),
        "--only-binary=:all:", "--require-hashes", "--no-deps", "--requirement", str(requirements),
        "--implementation", "cp", "--python-version", _PYTHON,
        *(item for abi in ("cp311", "abi3", "none") for item in ("--abi", abi)),
        *(item for platform in _PLATFORMS for item in ("--platform", platform)),
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as pip:
            for line in pip.stdout or ():
                word, _, rest = line.partition(" ")
                if word in _NEXT:
                    # pip prints a requirement, or the path of a file from PIP_FIND_LINKS.
                    wheel = PurePosixPath(rest.split()[0]).name
                    print(f"fetching the wheel {wheel}", file=sys.stderr)  # noqa: T201 -- minutes pass
        errors.seek(0)
        said = errors.read()
    if pip.returncode:
        lines = [line for line in said.splitlines() if line.startswith("ERROR:")] or ["ERROR: pip failed"]
        raise ImageError(f"The wheels cannot be had: {lines[-1].removeprefix('ERROR: ')}", "Check the network.")

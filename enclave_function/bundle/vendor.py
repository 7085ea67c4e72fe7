"""The packages that the function imports, for a stated Python and platform, as files to put beside `app.py`.

pip fetches the wheels, of which `requirements-vendor.txt` lists the versions and every accepted SHA-256; no Docker and
no machine of the target's kind is needed. pip's own settings say where from.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from enclave_function.bundle import archive
from enclave_function.bundle.errors import BundleError

REQUIREMENTS: Final = Path(__file__).resolve().parent.parent / "requirements-vendor.txt"
_OLDEST_GLIBC_MINOR: Final = 17
"""manylinux2014; PEP 600 lets a platform use wheels for every older glibc."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VendorTarget:
    """The interpreter that will import the packages, such as Python `3.11` on `manylinux_2_28_x86_64` (PEP 600)."""

    python: str
    platform: str

    @classmethod
    def parse(cls, text: str) -> VendorTarget:
        """Read `python=3.11,platform=manylinux_2_28_x86_64`. Raises `BundleError`."""
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        if (
            fields.keys() != {"python", "platform"}
            or not re.fullmatch(r"3\.\d{1,2}", fields["python"])
            or not re.fullmatch(r"manylinux_2_\d{1,2}_(x86_64|aarch64)", fields["platform"])
        ):
            raise BundleError(
                "--vendor is not of the form python=3.11,platform=manylinux_2_28_x86_64.",
                "Name a CPython version and a manylinux_2_N platform with x86_64 or aarch64.",
            )
        return cls(**fields)

    @property
    def wheel_platforms(self) -> list[str]:
        """The platform tags of wheels that run there, newest first."""
        glibc, machine = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", self.platform, re.ASCII).groups()  # type: ignore[union-attr] # parse() checked it
        return [f"manylinux_2_{minor}_{machine}" for minor in range(int(glibc), _OLDEST_GLIBC_MINOR - 1, -1)]


def vendored_files(target: VendorTarget) -> dict[str, bytes]:
    """Fetch the wheels for `target` and return their contents by name. Raises `BundleError`."""
    with tempfile.TemporaryDirectory(prefix="blindsight-vendor-") as name:
        folder = Path(name)
        _download(target, folder)
        return unpack_wheels(sorted(folder.iterdir()))


def unpack_wheels(wheels: list[Path]) -> dict[str, bytes]:
    """What installing `wheels` would put into the package folder, by name. Raises `BundleError`."""
    files: dict[str, bytes] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            for info in archive.entries(opened):
                name = _installed_name(info.filename)
                if name is None:
                    continue
                if name in files:
                    raise BundleError(f"Two packages have a file {name}.", "Choose other package versions.")
                files[name] = opened.read(info)
    return files


def _installed_name(name: str) -> str | None:
    """Where an installer puts `name` of a wheel, relative to the package folder; None for commands and headers."""
    parts = PurePosixPath(name).parts
    if not parts[0].endswith(".data"):
        return name
    return "/".join(parts[2:]) if parts[1] in ("purelib", "platlib") else None


def _download(target: VendorTarget, folder: Path) -> None:
    _log.info("fetching packages for Python %s on %s", target.python, target.platform)
    abi = f"cp{target.python.replace('.', '')}"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(folder),
        "--only-binary=:all:", "--require-hashes", "--no-deps", "--requirement", str(REQUIREMENTS),
        "--implementation", "cp", "--python-version", target.python,
        *(item for name in (abi, "abi3", "none") for item in ("--abi", name)),
        *(item for platform in target.wheel_platforms for item in ("--platform", platform)),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        reasons = [line for line in lines if line.startswith("ERROR:")] or lines or ["pip failed"]
        raise BundleError(
            f"The packages cannot be fetched: {reasons[-1].removeprefix('ERROR: ')}",
            "Check the network and the target, or build without --vendor.",
        )

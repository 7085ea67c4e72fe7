"""Measure the code that runs here, file by file, into the values of PCR 0, 1 and 2.

A simulated enclave has no image to hash, so the files themselves are measured: PCR 1 covers the interpreter and the
installed distributions that the runtime uses, PCR 2 the Python sources of `enclave_runtime` and of the core in
`blindsight`, PCR 0 both. What only callers need (`NOT_IN_ENCLAVES`) is no part of an enclave. Folder, owner, mode
and time of the files do not count, so any checkout of the same release on the same wheels gives the same values. What
the operating system and the standard library add is not measured.

The rule is that of an enclave image: PCR = SHA-384(48 zero bytes || SHA-384(content)). The content is a manifest: for
each file, sorted by name, the length of the name (4 bytes, big-endian), the name and the SHA-384 of the file.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import blindsight
import enclave_runtime
from blindsight.errors import ProducerError
from enclave_runtime import variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclave_runtime.variants import Variant

DISTRIBUTIONS = ("cbor2", "cffi", "cryptography", "numpy", "onnxruntime", "pillow", "pyjwt", "rfc8785")
"""What the runtime and its worker import beside the standard library; a test compares this with what they load."""

NOT_IN_ENCLAVES = (
    "blindsight/files.py",
    "blindsight/interrupt.py",
    "blindsight/client/",
    "blindsight/eif/",
    "blindsight/release_file/",
)
"""What `blindsight` has that enclaves do not need; an enclave image leaves it out."""

_INSTALLER_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
"""Written by the installer into `*.dist-info`; they differ between installations of one wheel."""


def measurements(variant: Variant = "cape") -> dict[int, bytes]:
    """Measure the running code; returns PCR 0, 1 and 2, of 48 bytes each.

    Takes a few tenths of a second. Raises `ProducerError` `distribution_missing`.
    """
    return pcrs_of(boot=manifest(_boot_files()), application=manifest(application_files(packages(), variant)))


def render(pcrs: Mapping[int, bytes]) -> str:
    """The registers in hexadecimal, one a line, as a policy lists them."""
    return "".join(f"PCR{index}: {value.hex()}\n" for index, value in sorted(pcrs.items()))


def pcrs_of(*, boot: bytes, application: bytes) -> dict[int, bytes]:
    """The registers that two manifests give."""
    return {0: _pcr(boot + application), 1: _pcr(boot), 2: _pcr(application)}


def application_files(folders: Mapping[str, Path], variant: Variant = "cape") -> dict[str, Path]:
    """The Python sources of packages (name to folder) that an enclave has, by their names as `package/module.py`."""
    files = {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for name, folder in folders.items()
        for path in folder.rglob("*.py")
    }
    absent = (*NOT_IN_ENCLAVES, *variants.left_out(variant))
    return {name: path for name, path in files.items() if not name.startswith(absent)}


def image_files(folders: Mapping[str, Path], variant: Variant = "cape") -> dict[str, Path]:
    """Of packages, name to folder, what an enclave image contains: name as `package/module.py`, and where it is.

    It cannot make simulated evidence, and is otherwise what a simulated enclave of that variant measures.
    """
    files = application_files(folders, variant)
    return {name: path for name, path in sorted(files.items()) if not name.startswith(variants.SIMULATOR)}


def packages() -> dict[str, Path]:
    """The first-party packages that an enclave runs, name to folder, as they run here."""
    return {package.__name__: Path(package.__path__[0]) for package in (blindsight, enclave_runtime)}


def manifest(files: Mapping[str, Path]) -> bytes:
    """What is measured of `files`, name to path."""
    entries = bytearray()
    for name, path in sorted(files.items()):
        encoded = name.encode()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha384").digest()
        entries += len(encoded).to_bytes(4, "big") + encoded + digest
    return bytes(entries)


def _pcr(content: bytes) -> bytes:
    return hashlib.sha384(bytes(48) + hashlib.sha384(content).digest()).digest()


def _boot_files() -> dict[str, Path]:
    files = {"python": Path(sys.executable).resolve()}
    # Where Python is built as a shared library, the executable is only its stub.
    library = sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library:
        files["libpython"] = Path(sysconfig.get_config_var("LIBDIR")) / library
    for name in DISTRIBUTIONS:
        files.update(_distribution_files(name))
    return files


def _distribution_files(name: str) -> dict[str, Path]:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise ProducerError("distribution_missing", f"The distribution {name} is not installed.") from error
    return {
        f"{name}/{file.as_posix()}": Path(str(distribution.locate_file(file)))
        for file in distribution.files or ()
        # Bytecode and scripts outside the packages ("../../bin") hold times and paths of the installation.
        if file.suffix != ".pyc" and file.parts[0] != ".." and file.name not in _INSTALLER_NOTES
    }

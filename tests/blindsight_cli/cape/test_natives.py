"""Compiled files for another Python, system or processor are refused before they are sent."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fake_cape_host import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

RUNS = f"Python 3.11 on x86_64 Linux ({PYTHON})"
STEP = "Install its packages anew with Python 3.11 on x86_64 Linux: pip install --target FOLDER PACKAGE\n"


def elf(machine: int, *, bits: int = 2, order: str = "<") -> bytes:
    """The start of a shared library."""
    data = 1 if order == "<" else 2
    return b"\x7fELF" + bytes([bits, data, 1]) + bytes(9) + struct.pack(f"{order}HHI", 3, machine, 1) + bytes(100)


X86, ARM64 = elf(62), elf(183)

FOREIGN = {
    "another version": ("lib/_x.cpython-39-x86_64-linux-gnu.so", X86, "Python 3.9 on x86_64 Linux"),
    "a later version": ("_x.cpython-312-x86_64-linux-gnu.so", X86, "Python 3.12 on x86_64 Linux"),
    "free-threaded": ("_x.cpython-313t-x86_64-linux-gnu.so", X86, "free-threaded Python 3.13 on x86_64 Linux"),
    "another processor": ("_x.cpython-311-aarch64-linux-gnu.so", ARM64, "Python 3.11 on aarch64 Linux"),
    "another C library": ("_x.cpython-311-x86_64-linux-musl.so", X86, "Python 3.11 on x86_64 Linux with musl"),
    "macOS": ("_x.cpython-311-darwin.so", b"\xcf\xfa\xed\xfe" + bytes(100), "Python 3.11 on macOS"),
    "Windows": ("_x.cp311-win_amd64.pyd", b"MZ" + bytes(100), "Python 3.11 on amd64 Windows"),
    "PyPy": ("_x.pypy39-pp73-x86_64-linux-gnu.so", X86, "PyPy 3.9 on x86_64 Linux"),
    "a name that fits and a header that does not": (f"_x.{PYTHON}.so", ARM64, "aarch64 Linux"),
    "the stable interface": ("_x.abi3.so", ARM64, "aarch64 Linux"),
    "a plain name": ("_x.so", elf(3, bits=1), "i386 Linux"),
    "big-endian": ("_x.so", elf(22, order=">"), "s390x Linux"),
    "a library with a version": ("x.libs/libz-1a2b.so.1.2.13", ARM64, "aarch64 Linux"),
    "macOS, by its header": ("_x.so", b"\xca\xfe\xba\xbe" + bytes(100), "macOS"),
    "macOS, by its suffix": ("libx.dylib", b"\xcf\xfa\xed\xfe" + bytes(100), "macOS"),
    "an unknown processor": ("_x.so", elf(9999), "processors of ELF's number 9999 Linux"),
}
FITTING = {
    "its own tag": {f"_x.{PYTHON}.so": X86},
    "the stable interface": {"_x.abi3.so": X86},
    "a plain name": {"libx.so": X86, "libx.so.1": X86},
    "a linker script, or text": {"libc.so": b"/* GNU ld script */", "empty.so": b"", "short.so": b"\x7fELF"},
    "two versions side by side": {"_x.cpython-39-x86_64-linux-gnu.so": X86, f"_x.{PYTHON}.so": X86},
    "several processors": {"arm/libx.so": ARM64, "x86/libx.so": X86},
    "compiled Python": {"__pycache__/x.cpython-39.pyc": b"x", "x.py": b""},
}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files_are_not_deployed(ada: Callable[..., Any], host: FakeCapeHost, echo: Path, case: str) -> None:
    name, content, made_for = FOREIGN[case]
    outcome = ada("deploy", str(written(echo, {name: content})))
    assert (outcome.status, outcome.out, host.functions) == (1, "", {})
    assert outcome.err.endswith(
        f"Error: unable to deploy function: echo/{name} is for {made_for}, and functions run on {RUNS}\n{STEP}"
    )


@pytest.mark.parametrize("files", FITTING.values(), ids=FITTING)
def test_fitting_files_are_deployed(ada: Callable[..., Any], echo: Path, files: dict[str, bytes]) -> None:
    outcome = ada("deploy", str(written(echo, files)))
    assert (outcome.status, outcome.err) == (
        0, f"Deploying function to Cape ...\nFunctions run on {RUNS} there\n"
    )  # fmt: skip


def test_several_are_counted(ada: Callable[..., Any], echo: Path) -> None:
    names = [f"a/_{letter}.cpython-39-x86_64-linux-gnu.so" for letter in "xyz"]
    outcome = ada("deploy", str(written(echo, dict.fromkeys(names, X86))))
    assert f"echo/{names[0]} is for Python 3.9 on x86_64 Linux, and functions run on {RUNS}; 2 more like it\n" in (
        outcome.err
    )


def test_in_a_zip_and_before_a_test_too(ada: Callable[..., Any], host: FakeCapeHost, tmp_path: Path) -> None:
    path = tmp_path / "fn.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app.py", "")
        archive.writestr("_x.cpython-39-x86_64-linux-gnu.so", X86)
    for command, failed in (
        (("deploy", str(path)), "unable to deploy function"),
        (("test", str(path), "x"), "unable to process user function input"),
    ):
        outcome = ada(*command)
        assert (outcome.status, outcome.out, host.functions) == (1, "", {})
        assert f"Error: {failed}: _x.cpython-39-x86_64-linux-gnu.so is for Python 3.9" in outcome.err


def test_it_is_the_hosts_python_that_counts(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    host.python = "cpython-39-aarch64-linux-gnu"
    written(echo, {"_x.cpython-39-aarch64-linux-gnu.so": ARM64})
    assert ada("deploy", str(echo)).status == 0
    written(echo, {"_y.cpython-311-x86_64-linux-gnu.so": X86})
    assert "is for Python 3.11 on x86_64 Linux, and functions run on Python 3.9 on aarch64 Linux" in (
        ada("deploy", str(echo)).err
    )


@pytest.mark.parametrize("python", [None, "", "x" * 100, "\x1b[2J"])
def test_a_host_that_states_none_gets_all(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, python: str | None
) -> None:
    host.python = python
    outcome = ada("deploy", str(written(echo, {"_x.cpython-39-x86_64-linux-gnu.so": X86})))
    assert (outcome.status, outcome.err) == (0, "Deploying function to Cape ...\n")

"""The confinement's own tests, under the kernel of the booted image.

A second image: the same first ramdisk, kernel, /init and runtime; in its second ramdisk also pytest and the tests, and
settings that make /init start those instead of the runtime.
"""

from __future__ import annotations

import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight import eif
from blindsight.eif import BytesPart, layout
from enclave_image import application, build, kernel, packages, standard_library, system, trusted_set, wheels
from enclave_image.tree import Tree
from tests.support.nitro_machine import NitroMachine, Tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.boot.conftest import Built

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 1500.0
INI = """[pytest]
consider_namespace_packages = true
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
timeout = 600
"""
DISTRIBUTIONS = (
    "pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "pygments",
    "pytest-asyncio",
    "pytest-timeout",
    "psutil",
    "typing_extensions",
)
TESTS = (
    "tests/boot/guest/*.py", "tests/enclave_runtime/conftest.py", "tests/enclave_runtime/confinement/*.py",
    "tests/support/ordinary_user.py", "tests/support/memory_hogs.py", "tests/support/waiting.py",
)  # fmt: skip
RUN = (
    "tests/boot/guest/inside.py",
    "tests/enclave_runtime/confinement/test_attacks.py",
    "tests/enclave_runtime/confinement/test_seccomp.py",
    "tests/enclave_runtime/confinement/test_cgroups.py",
)
OPTIONS = (
    "-q", "--color=no", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir=/app", "-c", "/app/pytest.ini",
)  # fmt: skip


def _test_files() -> Iterator[tuple[str, bytes]]:
    yield "pytest.ini", INI.encode()
    for pattern in TESTS:
        for file in sorted(REPOSITORY.glob(pattern)):
            yield file.relative_to(REPOSITORY).as_posix(), file.read_bytes()
    for name in DISTRIBUTIONS:
        for file in metadata.distribution(name).files or ():
            if file.suffix != ".pyc" and file.parts[0] != ".." and "tests" not in file.parts:
                yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _image(built: Built, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = packages.default_cache()
    # pytest imports of the standard library what no enclave needs.
    for name in ("libpython3.11-minimal", "libpython3.11-stdlib"):
        part = trusted_set.Part("for pytest", ("usr/lib/python3.11/*",), trusted_set.UNUSED_BINARIES)
        monkeypatch.setitem(trusted_set.PACKAGES, name, part)
    loaded = kernel.load("debian-6.12", cache=cache)
    first = system.build(
        packages=[(package, packages.fetch(package, cache)) for package in packages.read_lock()],
        distributions=wheels.fetch(cache),
        modules=loaded.modules,
        compile_library=standard_library.compiled,
    )
    second = Tree()
    for name, content in application.files(REPOSITORY, "cape").items():
        second.file(f"app/{name}", content, "runtime")
    for name, content in dict(_test_files()).items():
        second.file(f"app/{name}", content, "tests")
    settings = application.settings_of("tests.boot.guest.program", [*OPTIONS, *RUN])
    second.file("etc/blindsight/enclave.json", settings, "settings")
    second.file(application.BUNDLE, built.bundle.read_bytes(), "function")
    with out.open("w+b") as file:
        layout.write(
            file,
            kernel=BytesPart(loaded.image),
            cmdline=loaded.command_line.encode(),
            metadata=_metadata(built),
            ramdisks=[BytesPart(build.archive(tree)) for tree in (first, second)],
        )


def _metadata(built: Built) -> bytes:
    with built.image.open("rb") as file:
        return eif.Image.read(file).metadata_bytes


@pytest.fixture(scope="module")
def console(tools: Tools, built: Built, artefacts: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        image = Path(name) / "tests.eif"
        _image(built, image, monkeypatch)
        machine = NitroMachine(tools, image, Path(name) / "machine", memory="3G")
        try:
            with machine:
                machine.wait_for("guest: pytest ended with status", seconds=SECONDS)
                machine.wait_for("init: ends after", seconds=60)
        finally:
            (artefacts / "guest-console.log").write_text(machine.log())
        yield machine.log()


def test_the_confinement_holds_under_the_images_kernel(console: str) -> None:
    ended = re.search(r"guest: pytest ended with status (\d+) after (\d+) s", console)
    counted = re.search(r"(\d+) passed(?:, (\d+) skipped)?.* in ", console)
    assert ended is not None
    assert counted is not None
    assert "failed" not in console.partition("starts the runtime")[2]
    assert int(ended[1]) == 0
    # With everything skipped it would show nothing.
    assert int(counted[1]) >= 300


def test_the_machine_ends_when_what_init_started_ends(console: str) -> None:
    assert "init: the runtime ended with status 0" in console

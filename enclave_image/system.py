"""The first ramdisk: Debian's files, the wheels, the kernel's modules and `/init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_image import deb, shared_libraries, trusted_set, wheels
from enclave_image.standard_library import PART as COMPILED
from enclave_image.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from enclave_image.packages import Package
    from enclave_image.wheels import Wheel

PACKAGES_FOLDER: Final = "usr/local/lib/python3.11/dist-packages"
INIT: Final = Path(__file__).with_name("init")
_FOLDERS: Final = ("app", "dev", "etc", "newroot", "proc", "root", "run", "state", "sys", "tmp", "var")
_ACCOUNTS: Final = {
    "etc/passwd": b"root:x:0:0:root:/:/nonexistent\n",
    "etc/group": b"root:x:0:\n",
    "etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}


def build(
    *,
    packages: Iterable[tuple[Package, Path]],
    distributions: Iterable[Wheel],
    modules: Iterable[tuple[str, bytes]],
    compile_library: Callable[[Tree], Mapping[str, bytes]],
) -> Tree:
    """The tree of the first ramdisk.

    `packages` are pairs of package and file; `modules` pairs of file name and content, in the order of loading.
    `compile_library` returns the compiled standard library, path to content, for a tree that contains the interpreter.
    Raises `ImageError` for a file outside the trusted set, and if a shared library is missing.
    """
    tree = Tree.merged("accounts")
    for folder in _FOLDERS:
        tree.folder(folder, "accounts")
    for package, file in packages:
        _add_package(tree, package.name, file)
    for path, content in compile_library(tree).items():
        tree.file(path, content, COMPILED)
    for wheel in distributions:
        if wheel.distribution not in trusted_set.NOT_IMPORTED:
            _add_wheel(tree, wheel)
    for path, content in _ACCOUNTS.items():
        tree.file(path, content, "accounts")
    names = []
    for name, content in modules:
        tree.file(f"usr/lib/enclave/modules/{name}", content, "kernel modules")
        names.append(f"{name}\n")
    tree.file("usr/lib/enclave/modules/load", "".join(names).encode(), "kernel modules")
    _add_init(tree)
    shared_libraries.check(tree)
    return tree


def _add_package(tree: Tree, name: str, file: Path) -> None:
    part = trusted_set.part_of("package", name, trusted_set.PACKAGES)
    own = Tree()
    for member in deb.members(file):
        if member.target is None:
            own.file(member.path, member.content, name, executable=member.executable)
        else:
            own.link(member.path, member.target, name)
    for path, entry in own:
        if entry.mode & 0o170000 == 0o120000 and part.takes(path):
            tree.link(path, entry.content.decode(), name)
        elif entry.mode & 0o170000 == 0o100000 and part.takes(path):
            tree.file(path, entry.content, name, executable=bool(entry.mode & 0o100))


def _add_wheel(tree: Tree, wheel: Wheel) -> None:
    part = trusted_set.part_of("distribution", wheel.distribution, trusted_set.WHEELS)
    for name, content in wheels.contents(wheel).items():
        if part.takes(name):
            # Libraries are mapped and not executed, so none of them needs the mode of an executable.
            tree.file(f"{PACKAGES_FOLDER}/{name}", content, wheel.distribution)


def _add_init(tree: Tree) -> None:
    tree.file("init", (INIT / "start.py").read_bytes(), "init", executable=True)
    tree.file("usr/lib/enclave/enclave_image/__init__.py", (INIT.parent / "__init__.py").read_bytes(), "init")
    for file in sorted(INIT.glob("*.py")):
        if file.name != "start.py":
            tree.file(f"usr/lib/enclave/enclave_image/init/{file.name}", file.read_bytes(), "init")

"""The installed packages that a confined process can import.

The runtime needs more packages than functions are promised, and a development machine has hundreds. A function that
depended on another package would fail on the next host. Standard library only.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROMISED: Final = {
    "numpy": ("numpy", "numpy.libs"),
    "onnxruntime": ("onnxruntime", "onnxruntime.libs"),
    "pillow": ("PIL", "pillow.libs"),
}
"""Distributions, and their entries in a folder of packages, besides their metadata."""

FOLDERS: Final = ("site-packages", "dist-packages")
"""How interpreters call a folder of packages."""

_OWN_FOLDER: Final = ".packages/site-packages"


@functools.cache
def promised() -> tuple[str, ...]:
    """The real paths of the entries of `PROMISED`, as this process would import them."""
    found: dict[str, str] = {}
    for folder in map(Path, filter(_holds_packages, sys.path)):
        for distribution, names in PROMISED.items():
            metadata = (path.name for path in folder.glob(f"{distribution}-*.dist-info"))
            for name in (*names, *metadata):
                if (folder / name).exists():
                    found.setdefault(name, os.path.realpath(folder / name))
    return tuple(found.values())


@functools.cache
def folders() -> tuple[str, ...]:
    """The real paths of all folders of packages that are visible to the process, or on this process's path."""
    bases = dict.fromkeys(map(os.path.realpath, (sys.prefix, sys.base_prefix, "/usr", "/usr/local")))
    lying = (str(path) for base in bases for path in Path(base).glob("lib*/python*/*-packages"))
    named = filter(_holds_packages, (*lying, *sys.path))
    return tuple(dict.fromkeys(os.path.realpath(path) for path in named if Path(path).is_dir()))


def reachable(working: str, entries: Sequence[str], *, listed: bool) -> list[str]:
    """The folders for `sys.path` in which a process finds `entries`.

    `listed`: their own folders show only these. Otherwise a folder with links is created beside `working`. Raises
    `OSError`.
    """
    if listed:
        return list(dict.fromkeys(str(Path(entry).parent) for entry in entries))
    folder = own_folder(working)
    folder.mkdir(parents=True)
    for entry in entries:
        (folder / Path(entry).name).symlink_to(entry)
    return [str(folder)]


def own_folder(working: str) -> Path:
    """The folder in which `reachable` creates links for the process that works in `working`."""
    return Path(working + _OWN_FOLDER)


def narrow(found_in: Iterable[str]) -> None:
    """Restrict the calling process, and interpreters that it starts, to the standard library and the contents of
    `found_in`.

    Other modules that are already loaded stay usable by the code that imported them, but cannot be imported any more.
    """
    path = [each for each in sys.path if _is_standard(each)] + list(found_in)
    sys.path[:] = path
    sys.path_importer_cache.clear()
    for name in list(sys.modules):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            del sys.modules[name]
    # The program is ours: what is started by `multiprocessing` would look for it.
    sys.modules["__main__"] = types.ModuleType("__main__")
    # Where `boot` keeps code in .pth files from running, which the function's own may.
    vars(site).pop("exec", None)
    if unusual := [folder for folder in found_in if folder not in site.getsitepackages()]:
        os.environ["PYTHONPATH"] = os.pathsep.join(unusual)


def _holds_packages(path: str) -> bool:
    return Path(path).name in FOLDERS


def _is_standard(path: str) -> bool:
    library = Path(os.__file__).parent
    place = Path(path)
    if place == library or place.name == "lib-dynload":
        return True
    return place.suffix == ".zip" and place.parent == library.parent

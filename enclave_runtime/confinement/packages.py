"""Which installed packages a confined process may import: a few, wherever they lie, and none of the others.

The runtime needs more of them than functions are promised, and a development machine has hundreds. A function that came
to rely on one would break on the next host. Standard library only.
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
"""Distributions, and what they install at the top of a folder of packages, beside their metadata."""

FOLDERS: Final = ("site-packages", "dist-packages")
"""How interpreters call a folder of packages."""

_OWN_FOLDER: Final = ".packages/site-packages"


@functools.cache
def promised() -> tuple[str, ...]:
    """The real paths of what belongs to `PROMISED`, as this process would import them."""
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
    """The real paths of all folders of packages that lie in what is lent, or on this process's path."""
    bases = dict.fromkeys(map(os.path.realpath, (sys.prefix, sys.base_prefix, "/usr", "/usr/local")))
    lying = (str(path) for base in bases for path in Path(base).glob("lib*/python*/*-packages"))
    named = filter(_holds_packages, (*lying, *sys.path))
    return tuple(dict.fromkeys(os.path.realpath(path) for path in named if Path(path).is_dir()))


def reachable(working: str, entries: Sequence[str], *, listed: bool) -> list[str]:
    """The folders in which a process finds `entries`, for its `sys.path`.

    `listed`: their own folders show them and nothing else. Otherwise a folder beside `working` is made, with links.
    Raises `OSError`.
    """
    if listed:
        return list(dict.fromkeys(str(Path(entry).parent) for entry in entries))
    folder = own_folder(working)
    folder.mkdir(parents=True)
    for entry in entries:
        (folder / Path(entry).name).symlink_to(entry)
    return [str(folder)]


def own_folder(working: str) -> Path:
    """Where `reachable` makes links for the process that works in `working`."""
    return Path(working + _OWN_FOLDER)


def narrow(found_in: Iterable[str]) -> None:
    """Leave the calling process, and interpreters that it starts, the standard library and what is in `found_in`.

    Modules of others that are loaded stay in use by those who have them, and cannot be imported any more.
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

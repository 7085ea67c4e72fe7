"""Starts a module of the runtime so that only measured sources run.

    python -I -S -B boot.py [--bytecode FOLDER] MODULE ARGUMENTS…    runs MODULE's `main`
    python -I -S -B boot.py --compile FOLDER MODULES…                imports MODULES, and keeps their compiled code

Python prefers a compiled file in `__pycache__` to the source beside it, and believes its time stamp. Such files are in
no measurement. From here on, modules of this package, of `blindsight` and of installed distributions are compiled from
their sources, which are, or taken from FOLDER, where this very runtime has put what it compiled itself. The standard
library keeps its compiled files: an image measures both as a whole.

Standard library only; this file runs by its path, and so never from a compiled one. `-S` is for what `site` imports.
"""

from __future__ import annotations

import hashlib
import importlib
import marshal
import os
import site
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from importlib.abc import PathEntryFinder
    from types import CodeType

PARENT = str(Path(__file__).resolve().parents[1])
_INSTALLED = ("site-packages", "dist-packages")


class SourceOnlyLoader(SourceFileLoader):
    """Neither reads nor writes compiled files, except those in `kept`."""

    kept: ClassVar[Path | None] = None
    keeps: ClassVar[bool] = False

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        if self.kept is None:
            return self.source_to_code(source, path)
        # By content: a file that changes meanwhile is not mistaken for what it was. Under one name, also where it is
        # found through a link.
        file = self.kept / hashlib.sha256(os.fsencode(os.path.realpath(path)) + b"\0" + source).hexdigest()
        try:
            code: CodeType = marshal.loads(file.read_bytes())  # noqa: S302 -- this runtime's own
        except FileNotFoundError:
            code = self.source_to_code(source, path)
            if self.keeps:
                draft = file.with_suffix(".draft")
                draft.write_bytes(marshal.dumps(code))
                draft.rename(file)
        return code


def command(*arguments: str) -> list[str]:
    """The command line that starts this file with these arguments."""
    return [sys.executable, "-I", "-S", "-B", str(Path(__file__).resolve()), *arguments]


def install() -> None:
    """Import measured packages only from sources, for the rest of the process."""
    finder = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceOnlyLoader, SOURCE_SUFFIXES))

    def measured(path: str) -> PathEntryFinder:
        inside = path.startswith((f"{PARENT}/enclave_runtime", f"{PARENT}/blindsight")) or path == PARENT
        if not inside and not any(f"/{name}" in path for name in _INSTALLED):
            raise ImportError("left to the next finder", path=path)
        return finder(path)

    sys.path_hooks.insert(0, measured)
    sys.path_importer_cache.clear()
    # Code in .pth files, and modules that are imported because of their names, are in no measurement. Folders that .pth
    # files name are only searched, after all others.
    vars(site).update(exec=_ignored, execsitecustomize=_ignored, execusercustomize=_ignored)
    site.main()
    # The measured tree, whatever else is on the path.
    sys.path.insert(0, PARENT)


def _ignored(*_: object) -> None:
    """Replaces what `site` would run."""


def main() -> int:
    """Run the module's `main` with the remaining arguments."""
    arguments = sys.argv[1:]
    if arguments[0] in {"--bytecode", "--compile"}:
        SourceOnlyLoader.kept = Path(arguments[1])
        SourceOnlyLoader.keeps = arguments[0] == "--compile"
        del arguments[:2]
    install()
    if SourceOnlyLoader.keeps:
        for name in arguments:
            importlib.import_module(name)
        return 0
    module = importlib.import_module(arguments[0])
    sys.argv = arguments
    return int(module.main())


if __name__ == "__main__":
    sys.exit(main())

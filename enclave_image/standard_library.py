"""Compiles the standard library with the image's own interpreter.

An enclave starts many processes, and the image is read-only: without compiled files, each process would compile what it
imports. The files are of the kind "unchecked hash-based" (PEP 552): they contain the hash of the source instead of its
time, and Python does not compare them with the source. Both are measured.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclave_image.tree import Tree

PART: Final = "compiled library"
FOLDER: Final = "usr/lib/python3.11/"
_LOADER: Final = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_INTERPRETER: Final = "usr/bin/python3.11"

# Sorted, in one process and with a fixed hash seed, because the output depends on the strings that a process shares.
_PROGRAM: Final = """
import importlib._bootstrap_external as external, importlib.util, pathlib, sys
root, out = map(pathlib.Path, sys.argv[1:])
for name in sys.stdin.read().split("\\n"):
    source = (root / name).read_bytes()
    code = compile(source, "/" + name, "exec", dont_inherit=True, optimize=0)
    compiled = external._code_to_hash_pyc(code, importlib.util.source_hash(source), False)
    folder, _, file = name.rpartition("/")
    target = out / folder / "__pycache__" / (file[:-3] + ".cpython-311.pyc")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(compiled)
"""


def compiled(tree: Tree) -> Mapping[str, bytes]:
    """Compile all sources of the standard library in `tree` by running its interpreter.

    Returns the path in the image to the content of each `.pyc` file. Raises `ImageError` if the interpreter fails.
    """
    with tempfile.TemporaryDirectory(prefix="blindsight-library-") as name:
        root, out = Path(name) / "root", Path(name) / "out"
        out.mkdir()
        sources = []
        for path, entry in tree:
            target = root / path
            if entry.mode & 0o170000 == 0o040000:
                target.mkdir(parents=True, exist_ok=True)
            elif entry.mode & 0o170000 == 0o120000:
                # Links that name the root lead to the machine's own files outside of the image.
                link = entry.content.decode()
                target.symlink_to(root / link.lstrip("/") if link.startswith("/") else link)
            else:
                target.write_bytes(entry.content)
                target.chmod(entry.mode & 0o777)
                if path.startswith(FOLDER) and path.endswith(".py"):
                    sources.append(path)
        done = subprocess.run(
            [str(root / _LOADER), "--library-path", str(root / _LIBRARIES), str(root / _INTERPRETER),
             "-s", "-S", "-B", "-P", "-c", _PROGRAM, str(root), str(out)],
            input="\n".join(sources), capture_output=True, text=True, check=False, cwd="/",
            env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ImageError(
                f"The image's interpreter cannot compile its library: {last}", "Build on Linux, on an x86_64 processor."
            )
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.pyc"))}

"""Running Python as a user who is not root, in tests that are.

The interpreter may be installed where other users cannot go. So the process gets a mount namespace, in which the folder
that keeps them out is covered by one that holds the interpreter alone. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path

USER = 54_321
_NEWNS = 0x00020000
_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 4096, 8192, 16384, 1 << 18
_REPOSITORY = Path(__file__).resolve().parents[2]


def unavailable() -> str | None:
    """Why no process of another user can be started here; None if one can."""
    if os.geteuid():
        return "only root can become another user"
    for folder in (_REPOSITORY, *(Path(path) for path in sys.path if Path(path).name == "site-packages")):
        if (shut := _shut(folder)) is not None:
            return f"other users cannot enter {shut}"
    return None


def command(*arguments: str, user: int = USER) -> list[str]:
    """What runs this Python with these arguments as the user, or as another: root's cannot be found by all."""
    return [sys.executable, __file__, str(user), sys.executable, *arguments]


def _shut(folder: Path) -> Path | None:
    """The outermost folder on the way to `folder` that not all users can enter."""
    return next((part for part in (*reversed(folder.parents), folder) if not part.stat().st_mode & 0o001), None)


def _show(folder: Path) -> None:
    """Let all users find `folder`, for this process and those that it starts."""
    shut = _shut(folder)
    if shut is None:
        return
    aside = tempfile.mkdtemp()
    _mount(str(folder), aside, None, _MS_BIND)
    _mount("tmpfs", str(shut), "tmpfs", 0, "mode=0755")
    folder.mkdir(parents=True)
    _mount(aside, str(folder), None, _MS_MOVE)
    Path(aside).rmdir()


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    text = [None if value is None else os.fsencode(value) for value in (source, target, kind, data)]
    _check(_libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_libc = ctypes.CDLL(None, use_errno=True)


def _become() -> None:
    user, *program = sys.argv[1:]
    _check(_libc.unshare(_NEWNS))
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _show(Path(sys.base_prefix))
    if number := int(user):
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
    os.execv(program[0], program)


if __name__ == "__main__":
    _become()

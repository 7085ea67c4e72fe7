"""Detection of mounted control groups: the version, and this process's group.

See proc(5), cgroups(7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEEDED: Final = "memory"
_CONTROLLERS: Final = (_NEEDED, "pids")


@dataclass(frozen=True)
class Hierarchy:
    """A place for groups: the folder for each controller, which in version 2 is the same for all.

    `ours`: all processes in it belong to the runtime's container, or are the runtime itself, and can be moved.
    """

    version: int
    folders: dict[str, Path]
    ours: bool = False


def hierarchies(process: Path, *, root: bool) -> Iterator[Hierarchy]:
    """The places to try, best first. `process` is its folder in /proc; `root`: its user is root. Raises no
    exception.
    """
    places = _places(process)
    if _NEEDED in places:
        yield Hierarchy(1, {name: mount / own for name, (mount, own) in places.items() if name in _CONTROLLERS})
    if "" not in places:
        return
    mount, own = places[""]
    processes = _read(mount / own / "cgroup.procs").split()
    alone = processes == [process.resolve().name]
    for place, ours in (
        (mount / own, alone or own == Path()),
        # A desktop's or a service manager's group of the same user, where it may make groups beside its own.
        (mount / own.parent, False),
        (mount, False) if root else (mount / own, False),
    ):
        offered = _read(place / "cgroup.controllers").split()
        if _NEEDED in offered:
            yield Hierarchy(2, {name: place for name in _CONTROLLERS if name in offered}, ours)


def _places(process: Path) -> dict[str, tuple[Path, Path]]:
    """Controller, or "" for version 2, to its mount and to the process's group below that."""
    mounts: dict[str, tuple[Path, str]] = {}
    for line in _read(process / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(" "), after.split(" ", 2)
        seen_as, place = decoded(fields[3]), Path(decoded(fields[4]))
        if kind == "cgroup2":
            mounts.setdefault("", (place, seen_as))
        elif kind == "cgroup":
            for name in options.split(","):
                mounts.setdefault(name, (place, seen_as))
    found: dict[str, tuple[Path, Path]] = {}
    for line in _read(process / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if name in mounts:
                place, seen_as = mounts[name]
                found[name] = place, _relative(path, seen_as)
    return found


def _relative(path: str, root: str) -> Path:
    """The group `path` below a mount that shows the hierarchy from `root` on; a container may see its own alone."""
    own, shown = Path(path), Path(root)
    return own.relative_to(shown) if own.is_relative_to(shown) else Path()


def decoded(field: str) -> str:
    """A path as /proc writes it, with spaces and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""

"""The files of a ramdisk by path, each with the part of the trusted set that it belongs to."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MERGED: Final = ("bin", "lib", "lib64", "sbin")
"""Folders that are links into /usr, as in Debian ("merged /usr"); packages of Debian 12 still contain these paths."""


@dataclass(frozen=True)
class Entry:
    """A file, folder or link. `mode` includes the type, as in stat(2). `content` is a file's bytes or a link's target.

    `part` names the part of the trusted set, for the image's description.
    """

    mode: int
    content: bytes
    part: str


class Tree:
    """A tree of entries by path. Paths have no leading slash. Missing parent folders are added."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    @classmethod
    def merged(cls, part: str) -> Self:
        """A tree with Debian's links into /usr."""
        tree = cls()
        for name in _MERGED:
            tree.folder(f"usr/{name}", part)
            tree.link(name, f"usr/{name}", part)
        return tree

    def file(self, path: str, content: bytes, part: str, *, executable: bool = False) -> None:
        """Add a file. Raises `ImageError` if the path exists, or leaves the tree."""
        self._add(path, Entry(stat.S_IFREG | (0o755 if executable else 0o644), content, part))

    def link(self, path: str, target: str, part: str) -> None:
        """Add a symbolic link. Raises `ImageError` if the path exists, or leaves the tree."""
        self._add(path, Entry(stat.S_IFLNK | 0o777, target.encode(), part))

    def folder(self, path: str, part: str) -> None:
        """Add a folder, unless it exists."""
        path = _normal(path)
        if path and path not in self._entries:
            self.folder(path.rpartition("/")[0], part)
            self._entries[path] = Entry(stat.S_IFDIR | 0o755, b"", part)

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        """Iterate over paths and entries, sorted by path, so that a folder precedes its content."""
        yield from sorted(self._entries.items())

    def __contains__(self, path: str) -> bool:
        return _normal(path) in self._entries

    def __getitem__(self, path: str) -> Entry:
        return self._entries[_normal(path)]

    def _add(self, path: str, entry: Entry) -> None:
        path = _normal(path)
        if path in self._entries:
            raise ImageError(f"Two parts of the image have a file {path}.", "Choose other versions of the packages.")
        self.folder(path.rpartition("/")[0], entry.part)
        self._entries[path] = entry


def _normal(path: str) -> str:
    """The path below /usr if one of Debian's links leads there. Raises `ImageError` for a path that leaves the tree."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts or "\\" in path or "\0" in path:
        raise ImageError(f"A file has the name {path!r}.", "Do not build from this package.")
    if len(parts) > 1 and parts[0] in _MERGED:
        parts.insert(0, "usr")
    return "/".join(parts)

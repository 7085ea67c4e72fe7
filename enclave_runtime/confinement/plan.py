"""What one confined process gets: paths, user, limits, layers. The runtime writes it, the process obeys it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Self

from enclave_runtime.confinement import system
from enclave_runtime.confinement.layers import Layers

MAX_OPEN_FILES: Final = 1024
MAX_TASKS: Final = 256
"""Processes and threads together, as the kernel counts them."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one process and all that it starts."""

    memory_bytes: int
    file_bytes: int
    """In all files, shared memory included; where nothing bounds their sum, in each."""
    tasks: int = MAX_TASKS
    nice: int = 0


@dataclass(frozen=True)
class Plan:
    """Absolute paths, the same inside and outside.

    `read_only` folders and `sockets` are lent to the process. `writable` folders are, too: what it writes there stays.
    `working` is made for it, filled from `copied` if that is given, and private to it. `hidden` folders are never lent,
    not even with one that contains them. Of `package_folders`, those of installed packages, only `packages` are lent.
    """

    layers: Layers
    limits: Limits
    working: str
    copied: str | None = None
    read_only: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    package_folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    user: int | None = None
    """A user id of the process's own; None keeps the runtime's."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Those it may use: one that hands out memory which no limit counts only where a control group does."""
        return tuple(path for path in system.DEVICES if path != "/dev/zero" or not self.layers.one_process)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The plan that `to_dict` wrote, after a way through JSON."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        given["layers"], given["limits"] = Layers.from_dict(fields["layers"]), Limits(**fields["limits"])
        return cls(**given)

"""The plan of one confined process: paths, user, limits, layers. The runtime writes it, the process applies it."""

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
    """Resource limits of one process with its children."""

    memory_bytes: int
    file_bytes: int
    """Of all files together, including shared memory; of each file if no layer limits the sum."""
    tasks: int = MAX_TASKS
    nice: int = 0


@dataclass(frozen=True)
class Plan:
    """Absolute paths, the same inside and outside.

    `read_only` folders and `sockets` are visible to the process, and so are `writable` folders, whose changes persist.
    `working` is created for it, filled from `copied` if given, and private to it. `hidden` folders are never visible,
    even inside a visible one. Of `package_folders`, those of installed packages, only `packages` are visible.
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
        """Permitted devices. Those that hand out memory which no limit counts are permitted only with a control
        group.
        """
        return tuple(path for path in system.DEVICES if path != "/dev/zero" or not self.layers.one_process)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Parse the output of `to_dict` after JSON."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        given["layers"], given["limits"] = Layers.from_dict(fields["layers"]), Limits(**fields["limits"])
        return cls(**given)

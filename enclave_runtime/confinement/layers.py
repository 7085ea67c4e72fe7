"""The restrictions of confined code, and the kernel's layers that can enforce them.

Untrusted code has no access to the network, to files other than the system's libraries and its own folder, to other
processes, to capabilities or to devices of the enclave; and its memory, files and processes are limited. More than one
layer can enforce each restriction, because kernels differ: an AWS enclave has namespaces and cgroups but no Landlock, a
container without privileges has only Landlock and seccomp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

IDS: Final = "user ids"
NAMESPACES: Final = "namespaces"
CGROUP: Final = "cgroup"
LANDLOCK: Final = "landlock"
SECCOMP: Final = "seccomp"

ALL: Final = (IDS, NAMESPACES, CGROUP, LANDLOCK, SECCOMP)

SIGNALS_ABI: Final = 6
"""The first Landlock that restricts signals and abstract sockets (Linux 6.12)."""
SOCKETS_ABI: Final = 9
"""The first that checks connections to sockets by path."""


@dataclass(frozen=True)
class Layers:
    """The layers in force around a process.

    `ids`: a user id of its own, which requires a runtime that is root. `namespaces`: mount, process, network, IPC and
    host name; `user_namespace` if they were created without being root. `landlock`: the kernel's ABI, 0 for none.
    """

    ids: bool = False
    namespaces: bool = False
    user_namespace: bool = False
    cgroup: bool = False
    landlock: int = 0
    seccomp: bool = False

    @property
    def present(self) -> tuple[str, ...]:
        """The names of those in force, in the order of `ALL`."""
        held = (self.ids, self.namespaces, self.cgroup, self.landlock > 0, self.seccomp)
        return tuple(name for name, holds in zip(ALL, held, strict=True) if holds)

    @property
    def one_process(self) -> bool:
        """Whether processes cannot create others: without a cgroup only this limits their total memory."""
        return not self.cgroup

    def gaps(self, *, root: bool) -> tuple[str, ...]:
        """The restrictions that these layers do not enforce, one line each; `root`: the runtime's user is root."""
        parts = (
            (self.seccomp, "network: sockets are not refused (no seccomp)"),
            (self.namespaces or self.landlock > 0, "files: those outside can be opened (no namespaces, no Landlock)"),
            (
                self.namespaces or self.landlock >= SOCKETS_ABI,
                f"sockets of others: Cape functions reach what they name (no namespaces, no Landlock {SOCKETS_ABI})",
            ),
            (self.namespaces, "attributes of files outside: names and sizes can be asked for (no namespaces)"),
            (
                self.namespaces or (self.seccomp and self.landlock > 0),
                "processes: others can be seen or signalled (no namespaces, no Landlock with seccomp)",
            ),
            (self.seccomp or self.ids, "privileges: kernel interfaces are not filtered (no seccomp)"),
            (self.ids or not root, "user: untrusted code runs as root, without capabilities (no user ids)"),
            (
                self.cgroup or self.seccomp,
                "bounds: memory is bounded for each process that a function starts, not in sum (no cgroup, no seccomp)",
            ),
            (
                self.cgroup or self.namespaces,
                "bounds: files are bounded one by one, not in sum (no cgroup, no namespaces)",
            ),
        )
        return tuple(text for kept, text in parts if not kept)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)


class LayerUnavailable(Exception):
    """The kernel refuses `layer`. The process may be partly confined: it must not continue."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f"{layer}: {reason}")
        self.layer = layer
        self.reason = reason

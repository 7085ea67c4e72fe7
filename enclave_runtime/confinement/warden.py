"""Detection of the available layers by testing, and the runtime's user ids and control groups."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

from enclave_runtime.confinement import landlock, layers, probe, seccomp
from enclave_runtime.confinement.cgroups import Group, Groups
from enclave_runtime.confinement.layers import CGROUP, IDS, LANDLOCK, NAMESPACES, SECCOMP, Layers, LayerUnavailable
from enclave_runtime.confinement.users import Users

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from enclave_runtime.confinement.plan import Limits


@dataclass
class Warden:
    """The layers in force for every confined process of this runtime, and the reasons why others are not."""

    layers: Layers
    absent: dict[str, str] = field(default_factory=dict)
    """Layer to the reason, in one line."""
    groups: Groups | None = None
    hidden: tuple[Path, ...] = ()
    """Folders that are never visible to a process."""
    users: Users = field(default_factory=Users)
    bytecode: Path | None = None
    """Folder of trusted compiled code."""

    @classmethod
    def appoint(
        cls,
        *,
        total_bytes: int,
        without: Collection[str] = (),
        landlock_abi: int | None = None,
        hidden: Collection[Path] = (),
    ) -> Self:
        """Detect the layers by a test in a short-lived process. Takes about ten milliseconds.

        `total_bytes` limits the memory of all confined processes together, if there are control groups. `without`
        disables layers, and `landlock_abi` simulates an older kernel. Call it while there is one thread.
        """
        root = os.geteuid() == 0
        absent = dict.fromkeys(without, "left out on request")
        version = landlock.abi() if landlock_abi is None else min(landlock_abi, landlock.abi())
        if not version:
            absent.setdefault(LANDLOCK, "the kernel has none, or has it switched off")
        if (reason := seccomp.unsupported()) is not None:
            absent.setdefault(SECCOMP, reason)
        if not root:
            absent.setdefault(IDS, "the runtime is not root")
        groups = None
        if CGROUP not in absent:
            try:
                groups = Groups(total_bytes)
            except LayerUnavailable as error:
                absent[CGROUP] = error.reason
        wanted = Layers(
            ids=IDS not in absent,
            namespaces=NAMESPACES not in absent,
            user_namespace=not root and NAMESPACES not in absent,
            cgroup=groups is not None,
            landlock=0 if LANDLOCK in absent else version,
            seccomp=SECCOMP not in absent,
        )
        found = cls(wanted, absent, groups, tuple(hidden))
        try:
            found._settle()
        except BaseException:
            found.close()
            raise
        return found

    @property
    def gaps(self) -> tuple[str, ...]:
        """The restrictions that are not enforced."""
        return self.layers.gaps(root=os.geteuid() == 0)

    def summary(self) -> dict[str, Any]:
        """For status, `doctor` and banners: names and reasons, no secrets."""
        return {
            "layers": list(self.layers.present),
            "landlock_abi": self.layers.landlock,
            "absent": dict(self.absent),
            "gaps": list(self.gaps),
        }

    def group(self, limits: Limits) -> Group | None:
        """A control group for one process; None if there are none. Raises `OSError`."""
        if self.groups is None:
            return None
        # Files are memory here, so that one bound holds for both.
        return self.groups.make(memory_bytes=limits.memory_bytes, tasks=limits.tasks)

    def take_user(self) -> int | None:
        """An unused user id; None if processes keep the runtime's. Raises `OSError`."""
        return self.users.take() if self.layers.ids else None

    def give_back(self, user: int | None) -> None:
        """Return the resources, after the process and its children have ended."""
        if user is not None:
            self.users.give_back(user)

    def close(self) -> None:
        """Remove the runtime's control group."""
        if self.groups is not None:
            self.groups.close()
            self.groups = None

    def _settle(self) -> None:
        """Disable one layer after the other until the rest is available."""
        while (refused := probe.attempt(self)) is not None:
            layer, reason = refused
            self.absent[layer] = reason
            self.layers = replace(self.layers, **_OFF[layer])
            if layer == CGROUP:
                self.close()


_OFF: Final[dict[str, dict[str, Any]]] = {
    layers.IDS: {"ids": False},
    layers.NAMESPACES: {"namespaces": False, "user_namespace": False},
    layers.CGROUP: {"cgroup": False},
    layers.LANDLOCK: {"landlock": 0},
    layers.SECCOMP: {"seccomp": False},
}

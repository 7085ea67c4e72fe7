"""Permanent confinement of the calling process and its children, by a plan's layers.

The order matters: first namespaces, which require privileges; then the folder; then privileges are dropped; then the
filters, which later steps cannot remove.
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_runtime.confinement import (
    folder,
    hardening,
    landlock,
    namespaces,
    packages,
    privileges,
    seccomp,
    system,
    waiting,
)
from enclave_runtime.confinement.layers import IDS, LANDLOCK, SECCOMP, SIGNALS_ABI, LayerUnavailable
from enclave_runtime.confinement.plan import MAX_OPEN_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclave_runtime.confinement.plan import Limits, Plan

_MAX_STACK_BYTES: Final = 64 << 20
_MAX_LOCKED_BYTES: Final = 8 << 20
_CODE_BYTES: Final = 1 << 30
"""Of address space for libraries and for reserved, unused memory, besides a process's memory."""
_SHARED_TASKS: Final = 4096
"""Of the runtime's own user in total, where confined processes share it and nothing counts them separately."""


def confine(plan: Plan) -> list[str]:
    """Confine the calling process, which must have a single thread. Returns the folders of its packages.

    With namespaces it returns in another process; the calling one waits for that, and exits with its status. Raises
    `LayerUnavailable`: the process may then be partly confined.
    """
    # What another thread does would stay outside.
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise LayerUnavailable(SECCOMP, "the process has threads already")
    if plan.layers.namespaces:
        namespaces.enter(plan)
    working = Path(plan.working)
    folder.fill(working, Path(plan.copied) if plan.copied else None)
    found_in = packages.reachable(plan.working, plan.packages, listed=plan.layers.namespaces)
    if plan.user is not None:
        with _refusals(IDS):
            for path in (working, *map(Path, plan.writable)):
                folder.give(path, plan.user)
    # Its paths are opened while all of them are in reach.
    ruleset = _landlock(plan) if plan.layers.landlock else None
    with _refusals(SECCOMP):
        privileges.no_new_privileges()
        privileges.drop(plan.user)
        hardening.close_memory()
        hardening.die_with_parent()
    if plan.layers.namespaces and (function := os.fork()):
        waiting.inside(function)
    hardening.die_with_parent()
    _limit(plan)
    if ruleset is not None:
        with ruleset, _refusals(LANDLOCK):
            ruleset.restrict()
    if plan.layers.seccomp:
        _seccomp(plan)
    return found_in


def _limit(plan: Plan) -> None:
    limits = plan.limits
    for name, value in (
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_STACK, _MAX_STACK_BYTES),
        (resource.RLIMIT_MEMLOCK, _MAX_LOCKED_BYTES),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, _tasks(plan, limits)),
    ):
        soft, hard = resource.getrlimit(name)
        lowered = _lower(value, hard)
        resource.setrlimit(name, (_lower(soft, lowered) if name == resource.RLIMIT_STACK else lowered, lowered))
    if plan.layers.one_process:
        # The limit on data forgets what is made read-only once it is filled.
        space = limits.memory_bytes + _CODE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (space, space))


def _lower(value: int, limit: int) -> int:
    if resource.RLIM_INFINITY in {value, limit}:
        return value if limit == resource.RLIM_INFINITY else limit
    return min(value, limit)


def _tasks(plan: Plan, limits: Limits) -> int:
    # Else the kernel counts all that the runtime's own user runs.
    alone = plan.user is not None or (plan.layers.user_namespace and _counts_tasks_by_namespace())
    return limits.tasks if alone else _SHARED_TASKS


def _counts_tasks_by_namespace() -> bool:
    """Since Linux 5.14 a user namespace has its own count of a user's tasks."""
    major, minor = (int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return (major, minor) >= (5, 14)


def _landlock(plan: Plan) -> landlock.Ruleset:
    private = plan.layers.namespaces
    own = landlock.PRIVATE if private else landlock.OWN
    # A namespace covers folders of packages. Without one they are left out. Python looks for modules in listings.
    hidden = plan.hidden if private else (*plan.hidden, *plan.package_folders)
    to_run = system.lent(map(os.path.realpath, system.TO_RUN), hidden)
    listed = {str(Path(path).parent) for path in (plan.packages if private else plan.package_folders)}
    # All of a process namespace's own /proc, of which the rest is covered.
    proc = ("/proc",) if private else (*system.PROC_OF_MACHINE, *system.PROC_OF_PROCESS)
    allowed: dict[Path, int] = {}
    for paths, rights in (
        (to_run, landlock.RUN),
        (listed, landlock.LIST),
        ((*system.TO_READ, *system.ACCOUNTS, *proc), landlock.READ),
        (plan.devices, landlock.USE),
        ((*plan.read_only, *plan.packages, str(packages.own_folder(plan.working))), landlock.RUN),
        ((str(Path(path).parent) for path in plan.sockets), landlock.CONNECT),
        ((*plan.writable, plan.working), own),
        ((system.TEMPORARY, system.SHARED_MEMORY) if private else (), own),
    ):
        for path in map(Path, paths):
            allowed[path] = allowed.get(path, 0) | rights
    with _refusals(LANDLOCK):
        return landlock.Ruleset(allowed, plan.layers.landlock)


def _seccomp(plan: Plan) -> None:
    layers = plan.layers
    if (reason := seccomp.unsupported()) is not None:
        raise LayerUnavailable(SECCOMP, reason)
    rules = seccomp.Rules(
        private=layers.namespaces,
        signals_inside=layers.namespaces or layers.landlock >= SIGNALS_ABI,
        one_process=layers.one_process,
        sockets=layers.namespaces or bool(plan.sockets),
    )
    with _refusals(SECCOMP):
        seccomp.install(rules)


@contextlib.contextmanager
def _refusals(layer: str) -> Iterator[None]:
    """Convert the kernel's errors in the block to a refusal of `layer`."""
    try:
        yield
    except OSError as error:
        raise LayerUnavailable(layer, f"the kernel refused: {error.strerror}") from error

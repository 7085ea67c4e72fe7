"""The ports of a stack on this machine: checked, or chosen, and kept until its processes have them."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blindsight_cli.console import fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_METRICS: Final = 9000
"""The one that is taken for metrics if it is free and no other was asked for."""

_DEFAULTS: Final = {"PORT": 8000, "TLS_PORT": 8443}

_LOOPBACK: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Ports:
    """Of the gateway's listeners (0: it has none of that kind) and of the enclave's."""

    http: int
    tls: int
    metrics: int
    enclave: int


@contextlib.contextmanager
def reserved(http: int, tls: int, metrics: int | None) -> Iterator[Ports]:
    """Keep the given ports, and free ones for the enclave and for metrics (if None), from being handed out to others.

    They stay bound here, without listening: who listens there later says SO_REUSEADDR, as servers do. Exits with one
    line if one is taken, or is given twice.
    """
    wanted = {"PORT": http, "TLS_PORT": tls, "METRICS_PORT": metrics or 0}
    used = [port for port in wanted.values() if port]
    if len(set(used)) < len(used):
        fail("HTTP, HTTPS and metrics need a port each", "choose others, as in `make run PORT=8080 TLS_PORT=8444`")
    with contextlib.ExitStack() as stack:
        for variable, port in wanted.items():
            if port:
                try:
                    _bind(stack, port)
                except OSError as error:
                    _refuse(variable, port, wanted, error)
        if metrics is None:
            metrics = _METRICS if _METRICS not in used and _bound(stack, _METRICS) else _any(stack)
        yield Ports(http, tls, metrics, _any(stack))


def others(*variables: str) -> str:
    """Free ports for these variables of `make run`, or for `PORT` and `TLS_PORT`, as arguments of it."""
    with contextlib.ExitStack() as stack:
        return " ".join(f"{variable}={_any(stack)}" for variable in variables or _DEFAULTS)


def _refuse(variable: str, port: int, wanted: Mapping[str, int], error: OSError) -> None:
    """Name all options to be given: where a stack has one default port, it usually has the other as well."""
    # Those before it are kept by this process.
    later = list(wanted)[list(wanted).index(variable) + 1 :]
    taken = [variable, *(name for name in later if wanted[name] == _DEFAULTS.get(name) and _has(wanted[name]))]
    options = " ".join(f"--{name.lower().replace('_', '-')}" for name in taken)
    what = "others" if len(taken) > 1 else "another"
    next_step = f"choose {what}, as in `make run {others(*taken)}` (`blindsight up {options}`)"
    if error.errno == errno.EACCES:
        fail(f"port {port} is not for this user: {error.strerror}", next_step)
    fail(f"port {port} is taken", f"stop what listens there, or {next_step}")


def _has(port: int) -> bool:
    """Whether another program has the port."""
    with contextlib.ExitStack() as stack:
        return not _bound(stack, port)


def _bound(stack: contextlib.ExitStack, port: int) -> bool:
    try:
        _bind(stack, port)
    except OSError:
        return False
    return True


def _bind(stack: contextlib.ExitStack, port: int) -> None:
    """Keep `port` on loopback. Raises `OSError` where it is taken, be it of the other family: names mean both.

    Two sockets with SO_REUSEADDR can be bound to one port as long as neither listens. So stacks that start at the same
    time exclude each other by an abstract socket, unix(7), named after the port; as ports, those are per network
    namespace.
    """
    for host in _LOOPBACK:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            kept = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind((host, port))
        except OSError as error:
            # A machine may be without IPv6.
            if family == socket.AF_INET or error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                raise
    name = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    name.bind(f"\0blindsight-port-{port}")


def _any(stack: contextlib.ExitStack) -> int:
    kept = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    kept.bind(("127.0.0.1", 0))
    # Only now: with it, the kernel might hand out one that another has bound.
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return int(kept.getsockname()[1])

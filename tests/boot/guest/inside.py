"""Runs inside the booted image only: what the runtime reaches there, and what confined code does not.

The first tests show that there is something to reach; without them the others would show nothing.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.confinement.layers import ALL
from enclave_runtime.confinement.warden import Warden

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from tests.enclave_runtime.confinement.conftest import Machine

pytestmark = pytest.mark.skipif(os.getppid() != 1, reason="runs in the booted image, as a child of its first process")

PORT = 5005
LOOPBACK = 1

ATTEMPT = """
import json, os, socket
outcomes = {}
def attempt(name, act):
    try:
        act()
    except OSError as error:
        outcomes[name] = error.strerror
    else:
        outcomes[name] = "reached"
attempt("opens the security module", lambda: os.close(os.open("/dev/nsm", os.O_RDWR)))
attempt("makes a device file for it", lambda: os.mknod("nsm", 0o20666, os.makedev(10, MINOR)))
attempt("opens the random number device", lambda: os.close(os.open("/dev/hwrng", os.O_RDONLY)))
attempt("opens the vsock device", lambda: os.close(os.open("/dev/vsock", os.O_RDWR)))
attempt("makes a vsock socket", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close())
attempt("makes a vsock datagram socket", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_DGRAM).close())
attempt("reads the measured settings", lambda: open("/etc/blindsight/enclave.json").close())
attempt("reads the bundle", lambda: open("/app/function.zip").close())
attempt("reads the state", lambda: os.listdir("/state"))
attempt("reads the memory of the first process", lambda: open("/proc/1/environ").read())
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="session")
def warden() -> Iterator[Warden]:
    """All layers that this kernel has, as the runtime gets them."""
    found = Warden.appoint(total_bytes=1 << 30)
    yield found
    found.close()


def _minor() -> int:
    return os.minor(Path("/dev/nsm").stat().st_rdev)


def test_the_kernel_gives_every_layer(warden: Warden) -> None:
    assert warden.gaps == ()
    assert warden.layers.present == ALL


def test_the_runtime_opens_the_security_module() -> None:
    os.close(os.open("/dev/nsm", os.O_RDWR))


def test_everybody_might_open_it_if_it_were_in_reach() -> None:
    """So that it is not the file's mode that keeps confined code off."""
    assert Path("/dev/nsm").stat().st_mode & 0o666 == 0o666


def test_the_runtime_has_vsock() -> None:
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listening:
        listening.bind((socket.VMADDR_CID_ANY, PORT))
        listening.listen()
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
            client.connect((LOOPBACK, PORT))
            accepted, _ = listening.accept()
            with accepted:
                client.sendall(b"ping")
                assert accepted.recv(4) == b"ping"


async def test_the_projects_own_addresses_work_over_vsock() -> None:
    address = pytest.importorskip("blindsight.wire.address")
    heard = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(1 << 20))
        writer.write(heard[0])
        await writer.drain()
        writer.close()

    listener = await address.listen(address.Address.parse(f"vsock://-1:{PORT + 1}"), echo)
    reader, writer = await address.connect(address.Address.parse(f"vsock://{LOOPBACK}:{PORT + 1}"))
    sent = os.urandom(1 << 20)
    writer.write(sent)
    await writer.drain()
    assert await reader.readexactly(1 << 20) == sent
    assert heard == [sent]
    writer.close()
    listener.close()


@pytest.mark.parametrize("without", ["", "landlock"])
def test_confined_code_reaches_neither(machine: Machine, without: str) -> None:
    """With all layers, and with those of AWS's kernels, which have no Landlock."""
    layers = replace(machine.layers, landlock=0) if without else machine.layers
    outcomes = json.loads(machine.ask(ATTEMPT.replace("MINOR", str(_minor())), layers))
    assert len(outcomes) == 10
    assert [name for name, ended in outcomes.items() if ended == "reached"] == []


def test_without_the_layers_it_reaches_both(machine: Machine) -> None:
    """The same code, so that it is confinement that keeps it off."""
    bare = replace(machine.layers, ids=False, namespaces=False, cgroup=False, landlock=0, seccomp=False)
    outcomes = json.loads(machine.ask(ATTEMPT.replace("MINOR", str(_minor())), bare))
    assert outcomes["opens the security module"] == "reached"
    assert outcomes["makes a vsock socket"] == "reached"


def test_there_is_no_shell_and_no_other_program() -> None:
    programs = [path for folder in ("/usr/bin", "/usr/sbin") for path in Path(folder).glob("*")]
    assert [path.name for path in programs] == ["python3.11"]

"""The parent's forwarder: one destination, whatever the enclave and DNS say; bounded, silent, and honest about ends."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import AddressError
from blindsight.wire import address
from blindsight.wire.address import Address
from gateway.forward import Bounds, Destination, Forwarder
from tests.support.processes import Server, environment
from tests.support.vsock import vsock_in
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HERE = ipaddress.ip_address("127.0.0.1")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.write(b" and that was all")


@contextlib.asynccontextmanager
async def forwarding(
    folder: Path, serve: Serve = echo, *, to: Destination | None = None, **options: Any
) -> AsyncIterator[tuple[Address, Forwarder]]:
    """A forwarder on a Unix socket, to a service on the loopback that is `serve`."""
    service = await asyncio.start_server(serve, "127.0.0.1", 0)
    forwarder = Forwarder(to or Destination("127.0.0.1", service.sockets[0].getsockname()[1]), **options)
    near = Address.parse(f"unix://{folder}/near")
    listener = await address.listen(near, forwarder.handle)
    try:
        yield near, forwarder
    finally:
        listener.close()
        await forwarder.drain()
        service.close()
        for _ in range(3):  # Transports close in later turns.
            await asyncio.sleep(0)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, in whatever way."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(1 << 16), 10):
            content += piece
    return content


async def test_both_ways_and_half_closes(tmp_path: Path) -> None:
    content = os.urandom(4 << 20)
    async with forwarding(tmp_path) as (near, _):
        for _ in range(3):
            reader, writer = await address.connect(near)
            writer.write(content)
            writer.write_eof()
            assert await ended(reader) == content + b" and that was all"
            writer.close()


async def test_the_other_half_closes_first(tmp_path: Path) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def says_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            writer.write(b"bye")
            writer.write_eof()
            heard.put_nowait(await reader.read())

    async with forwarding(tmp_path, says_first) as (near, _):
        reader, writer = await address.connect(near)
        assert await reader.read() == b"bye"
        writer.write(b"and you")
        writer.write_eof()
        assert await asyncio.wait_for(heard.get(), 10) == b"and you"
        writer.close()


async def test_a_reset_is_no_orderly_end(tmp_path: Path) -> None:
    """Nor does it leave the other side waiting."""

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with forwarding(tmp_path, resets) as (near, forwarder):
        reader, writer = await address.connect(near)
        writer.write(b"x")
        assert await ended(reader) == b""
        writer.close()
        await _emptied(forwarder)


async def _emptied(forwarder: Forwarder) -> None:
    async with asyncio.timeout(10):
        while forwarder._open:  # noqa: ASYNC110 -- it has no event for it
            await asyncio.sleep(0.01)


async def test_what_is_not_read_is_not_gathered(tmp_path: Path) -> None:
    """A service that does not read holds the sender up, after little."""
    release = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()
        await release.wait()
        writer.transport.abort()

    async with forwarding(tmp_path, deaf) as (near, forwarder):
        near_socket = socket.socket(socket.AF_UNIX)
        near_socket.setblocking(False)
        await asyncio.get_running_loop().sock_connect(near_socket, near.path)
        sent, stalled = 0, 0
        while stalled < 20:  # Full for a fifth of a second.
            try:
                sent += near_socket.send(bytes(1 << 16))
                stalled = 0
            except BlockingIOError:
                stalled += 1
            await asyncio.sleep(0.01)
        # The kernel's buffers are some megabytes, ours some hundred kilobytes.
        held = len(forwarder._open)
        near_socket.close()
        release.set()
        assert held == 1
        assert sent < 16 << 20


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async with forwarding(tmp_path, bounds=Bounds(idle_seconds=1)) as (near, forwarder):
        reader, writer = await address.connect(near)
        began = time.monotonic()
        for _ in range(6):  # As long as there is something, it stays: longer than a second in all.
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.sleep(0.2)
        assert await ended(reader) == b""
        assert 2 < time.monotonic() - began < 10
        writer.close()
        await _emptied(forwarder)


async def test_bytes_one_way_keep_the_other_open(tmp_path: Path) -> None:
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            for _ in range(6):
                writer.write(b"x")
                await asyncio.sleep(0.2)

    async with forwarding(tmp_path, talks, bounds=Bounds(idle_seconds=1)) as (near, _):
        reader, writer = await address.connect(near)
        assert await ended(reader) == b"x" * 6
        writer.close()


async def test_further_connections_are_closed_and_places_come_back(tmp_path: Path) -> None:
    async with forwarding(tmp_path, bounds=Bounds(connections=2)) as (near, forwarder):
        held = [await address.connect(near) for _ in range(2)]
        for reader, writer in held:
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        reader, writer = await address.connect(near)
        assert await ended(reader) == b""
        writer.close()
        for _, each in held:
            each.close()
        await _emptied(forwarder)
        reader, writer = await address.connect(near)
        writer.write_eof()
        assert await ended(reader) == b" and that was all"
        writer.close()


@pytest.mark.parametrize(("cid", "taken"), [(16, True), (17, True), (18, False), (3, False), (None, False)])
async def test_only_of_the_machines_that_were_named(tmp_path: Path, cid: int | None, taken: bool) -> None:
    async with forwarding(tmp_path, from_cids=[16, 17], peer=lambda _: cid) as (near, _):
        reader, writer = await address.connect(near)
        with contextlib.suppress(ConnectionError):
            writer.write_eof()
        assert await ended(reader) == (b" and that was all" if taken else b"")
        writer.close()


# --- where it goes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        "169.254.169.254", "fd00:ec2::254", "127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "240.0.0.1", "fe80::1", "fc00::1", "ff02::1", "192.0.2.7",
        "198.18.0.1", "2001:db8::1",
        # IPv4 addresses in IPv6's clothes.
        "::ffff:169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254",
        "64:ff9b::7f00:1", "2001:0:c000:201::5601:5601",
    ],
)  # fmt: skip
async def test_a_name_that_leads_to_the_inside_is_not_followed(
    tmp_path: Path, found: str, caplog: pytest.LogCaptureFixture
) -> None:
    """DNS rebinding: the answer for the name is not the operator's."""
    asked = []

    async def rebound(host: str, port: int) -> list[Any]:
        asked.append((host, port))
        return [ipaddress.ip_address(found)]

    to = Destination("kms.eu-west-1.amazonaws.com", free_port())
    with caplog.at_level(logging.WARNING, "gateway.forward"):
        async with forwarding(tmp_path, to=to, resolve=rebound) as (near, _):
            reader, writer = await address.connect(near)
            assert await ended(reader) == b""
            writer.close()
    assert asked == [("kms.eu-west-1.amazonaws.com", to.port)]
    assert [getattr(record, "reason", "") for record in caplog.records] == [
        f"{to} cannot be reached: its name leads to no public address."
    ]


@pytest.mark.parametrize("found", ["52.94.5.1", "2600:9000::1", "64:ff9b::345e:501"])
def test_public_addresses_are(found: str) -> None:
    assert Destination("kms.example", 443).takes(ipaddress.ip_address(found))


def test_a_vpc_endpoints_network_is_named_by_its_operator() -> None:
    destination = Destination.parse("kms.eu-west-1.amazonaws.com:443", ["10.0.0.0/16", "fd12::/48"])
    assert destination.takes(ipaddress.ip_address("10.0.200.7"))
    assert destination.takes(ipaddress.ip_address("fd12::7"))
    assert not destination.takes(ipaddress.ip_address("10.1.0.1"))


@pytest.mark.parametrize(
    "network",
    [
        "169.254.0.0/16", "169.254.169.254", "0.0.0.0/0", "::/0", "127.0.0.0/8", "fd00::/8", "fd00:ec2::/64",
        "fe80::/64", "10.0.0.1/16", "here", "",
    ],
)  # fmt: skip
def test_no_network_holds_the_metadata_service_or_this_machine(network: str) -> None:
    with pytest.raises(AddressError) as refused:
        Destination.parse("kms.example:443", [network])
    assert refused.value.code == "invalid_address"


async def test_every_connection_asks_again_and_takes_what_is_allowed(tmp_path: Path) -> None:
    """First a good answer, then a forged one: the name is not believed because it was good once."""
    answers = [["192.168.1.1", "127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]]
    ports = []

    async def changing(host: str, port: int) -> list[Any]:
        ports.append(port)
        return [ipaddress.ip_address(text) for text in answers.pop(0)]

    class Lenient(Destination):
        """As if the loopback were public: no test sends anything out."""

        def takes(self, found: Any) -> bool:
            return found == HERE or super().takes(found)

    service = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with service:
        to = Lenient("kms.example", service.sockets[0].getsockname()[1])
        async with forwarding(tmp_path, to=to, resolve=changing) as (near, _):
            for said in (b" and that was all", b"", b" and that was all"):
                reader, writer = await address.connect(near)
                with contextlib.suppress(ConnectionError):
                    writer.write_eof()
                assert await ended(reader) == said
                writer.close()
    assert ports == [to.port] * 3


async def test_what_refuses_or_is_silent(tmp_path: Path) -> None:
    async with forwarding(tmp_path, to=Destination("127.0.0.1", free_port())) as (near, forwarder):
        reader, writer = await address.connect(near)
        assert await ended(reader) == b""
        writer.close()
        await _emptied(forwarder)


async def test_over_vsocks_addresses(tmp_path: Path) -> None:
    """The code of a parent instance, on Unix sockets that take vsock's addresses."""
    service = await asyncio.start_server(echo, "127.0.0.1", 0)
    forwarder = Forwarder(Destination("127.0.0.1", service.sockets[0].getsockname()[1]))
    make = vsock_in(tmp_path)
    listener = await address.listen(Address.parse("vsock://-1:8000"), forwarder.handle, make_socket=make)
    (tmp_path / "3-8000").symlink_to(tmp_path / "any-8000")  # As the enclave calls its parent.
    reader, writer = await address.connect(Address.parse("vsock://3:8000"), make_socket=make)
    writer.write(b"sign this")
    writer.write_eof()
    assert await ended(reader) == b"sign this and that was all"
    writer.close()
    listener.close()
    await forwarder.drain()
    service.close()


# --- the command ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def service_of_threads() -> Any:
    """An echo service, which tells how many have come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        came: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # The listener was shut down.
                came.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while piece := connection.recv(1 << 16):
                    connection.sendall(piece)

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        yield listener.getsockname()[1], came
        listener.shutdown(socket.SHUT_RDWR)
        for each in threads:
            each.join(10)


def test_the_command_drains_and_logs_no_content(tmp_path: Path) -> None:
    """What is under way at SIGTERM comes to its end; new connections are refused."""
    canary = secrets.token_hex(16)
    with service_of_threads() as (port, came):
        arguments = ["gateway", "forward", "--listen", f"unix://{tmp_path}/near", "--to", f"127.0.0.1:{port}"]
        forwarder = Server(arguments, tmp_path / "forwarder")
        try:
            wait_until("listening", (tmp_path / "near").exists)
            with socket.socket(socket.AF_UNIX) as near:
                near.settimeout(10)
                wait_until("listening", lambda: near.connect_ex(str(tmp_path / "near")) == 0)
                near.sendall(canary.encode())
                assert near.recv(100) == canary.encode()
                forwarder.terminate()
                wait_until("no longer listening", lambda: not (tmp_path / "near").exists())
                near.sendall(b"still here")
                assert near.recv(100) == b"still here"
                assert forwarder.running
                near.shutdown(socket.SHUT_WR)
                assert near.recv(100) == b""
            forwarder.stop()
        finally:
            if forwarder.running:
                forwarder.kill()
        assert len(came) == 1
    assert [event["event"] for event in forwarder.events()] == ["forwarding", "draining"]
    assert canary not in forwarder.log()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "vsock://-1:8000", "--to", "kms.example"], "the port is missing"),
        (["--listen", "vsock://-1:8000", "--to", "kms.example:443/x"], "the port is a decimal number"),
        (["--listen", "tcp://0.0.0.0:8000", "--to", "kms.example:443"], "would lend the destination to the network"),
        (["--listen", "8000", "--to", "kms.example:443"], "'8000' is not an address"),
        (["--listen", "unix:///nowhere/x", "--to", "kms.example:443", "--from-cid", "16"], "--from-cid needs"),
        (["--listen", "unix:///nowhere/x", "--to", "k.example:443", "--network", "0.0.0.0/0"], "No name may lead into"),
        (["--listen", "unix:///nowhere/x", "--to", "kms.example:443"], "unix:///nowhere/x cannot be listened on"),
    ],
)  # fmt: skip
def test_what_the_command_refuses(
    tmp_path: Path, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway import __main__ as command_line
    from gateway import log

    monkeypatch.setattr(sys, "argv", ["gateway", "forward", *options])
    monkeypatch.setattr(log, "configure", lambda: None)
    assert command_line.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("gateway: ")
    assert error.count("\n") == 1
    assert said in error


def test_a_forwarder_brings_no_web_server_along(tmp_path: Path) -> None:
    """It stands between the enclave and a network: less code, and a few megabytes for each."""
    code = "import gateway.__main__, sys; print({'fastapi', 'uvicorn', 'sqlalchemy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
        env=environment(tmp_path),
    )  # fmt: skip
    assert done.stdout == "set()\n"

"""Connections by address, under asyncio and under uvloop, which the gateway runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from blindsight.errors import AddressError, TransportError
from blindsight.wire import address, unixsocket
from blindsight.wire.address import Address
from tests.support.vsock import Monitor, VsockLike, vsock_in
from tests.support.waiting import wait_until
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

LOOPS: dict[str, Any] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    async def whole(coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await asyncio.wait_for(coroutine, 30)
        finally:
            # Loops close transports and listeners in later turns.
            for _ in range(3):
                await asyncio.sleep(0)

    def each(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(whole(coroutine))

    return each


@pytest.fixture(params=["tcp", "unix", "vsock", "monitor"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Address, Address]]:
    """Where a server listens, and how a client gets there."""
    if request.param == "monitor":
        path = tmp_path / "guest"
        with Monitor(tmp_path / "vm.vsock", {7500: path}):
            yield Address.parse(f"unix://{path}"), Address.parse(f"unix://{tmp_path}/vm.vsock?port=7500")
    else:
        url = {"tcp": loopback(free_port()), "unix": f"unix://{tmp_path}/socket", "vsock": "vsock://16:7500"}
        yield (Address.parse(url[request.param]),) * 2


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, and say when the peer has ended its half."""
    with contextlib.closing(writer):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.write(b" and that was all")


def test_bytes_both_ways_and_half_closes(run: Run, pair: tuple[Address, Address], tmp_path: Path) -> None:
    content, make = os.urandom(3 << 20), vsock_in(tmp_path)

    async def scenario() -> None:
        listener = await address.listen(pair[0], echo, make_socket=make)
        for _ in range(2):
            reader, writer = await address.connect(pair[1], make_socket=make)
            writer.write(content)
            writer.write_eof()
            assert await reader.read() == content + b" and that was all"
            writer.close()
        listener.close()
        with pytest.raises(TransportError) as refused:
            await address.connect(pair[1], make_socket=make)
        assert (refused.value.code, refused.value.retryable) == ("unreachable", True)
        assert str(refused.value).startswith(f"{pair[1]} cannot be reached: ")

    run(scenario())


def test_a_stream_of_a_foreign_family_is_carried_under_both_loops(run: Run) -> None:
    """What is done for AF_VSOCK, done to a socket that is certainly no Unix socket."""

    async def scenario() -> None:
        accepted: asyncio.Queue[object] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.put_nowait(writer.get_extra_info("peername"))
            await echo(reader, writer)

        listener = socket.create_server(("127.0.0.1", 0))
        target = listener.getsockname()
        server = await address._accepting(listener, serve)
        reader, writer = await address._over(socket.socket(socket.AF_INET, socket.SOCK_STREAM), target)
        told = writer.get_extra_info("peername")
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        server.close()
        assert len(answer) == 1_000_000 + len(b" and that was all")
        assert told == target
        peer = await accepted.get()
        assert isinstance(peer, tuple)
        assert peer[0] == "127.0.0.1"

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"OK \n", b"OK 1 2\n", b"ok 1\n", b"OK 12345678901\n", b"OK x\n", b"ERR 1\n", b"OK 1\r\n", b"\n",
        b" OK 1\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 100_000, b"OK 1" + b"1" * 100_000,
    ],
    ids=lambda answer: ascii(answer[:12]),
)  # fmt: skip
def test_what_answers_otherwise_is_no_monitor(run: Run, tmp_path: Path, answer: bytes) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"CONNECT 7500\n"
        writer.write(answer)
        if not answer:
            writer.write_eof()
        with contextlib.suppress(ConnectionError):  # It hangs up with bytes unread.
            await reader.read()
        closed.set()
        writer.close()

    async def scenario() -> None:
        listener = await address.listen(Address.parse(f"unix://{tmp_path}/vm"), serve)
        began = time.monotonic()
        with pytest.raises(TransportError) as refused:
            await address.connect(Address.parse(f"unix://{tmp_path}/vm?port=7500"))
        assert time.monotonic() - began < address.CONNECT_SECONDS - 1, "it was read on and on"
        assert refused.value.code == "unreachable"
        assert "\n" not in str(refused.value)
        await asyncio.wait_for(closed.wait(), 5)
        listener.close()

    run(scenario())


def test_what_follows_the_answer_is_the_machines(run: Run, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"OK 1073741824\nOK 2\nhello")
        writer.close()

    async def scenario() -> None:
        listener = await address.listen(Address.parse(f"unix://{tmp_path}/vm"), serve)
        reader, writer = await address.connect(Address.parse(f"unix://{tmp_path}/vm?port=1"))
        assert await reader.read() == b"OK 2\nhello"
        writer.close()
        listener.close()

    run(scenario())


@pytest.mark.parametrize("slow", ["silent", "a byte at a time"])
def test_a_slow_monitor_is_given_up_and_closed(run: Run, tmp_path: Path, slow: str) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        ended = asyncio.ensure_future(reader.read())
        while slow != "silent" and not ended.done():
            writer.write(b"O")
            await asyncio.wait([ended], timeout=0.1)
        with contextlib.suppress(ConnectionError):  # It hangs up with bytes unread.
            await ended
        closed.set()
        writer.close()

    async def scenario() -> None:
        listener = await address.listen(Address.parse(f"unix://{tmp_path}/vm"), serve)
        began = time.monotonic()
        with pytest.raises(TransportError) as refused:
            await address.connect(Address.parse(f"unix://{tmp_path}/vm?port=7500"), seconds=0.3)
        assert time.monotonic() - began < 2
        assert "no answer within 0.3 s" in str(refused.value)
        await asyncio.wait_for(closed.wait(), 5)
        listener.close()

    run(scenario())


def test_cancelling_closes(run: Run, tmp_path: Path) -> None:
    """At every stage: the monitor has not answered yet, and the backlog has no room yet."""

    async def scenario() -> None:
        asked, closed = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            asked.set()
            await reader.read()
            closed.set()
            writer.close()

        listener = await address.listen(Address.parse(f"unix://{tmp_path}/vm"), serve)
        before = _descriptors()
        connecting = asyncio.create_task(address.connect(Address.parse(f"unix://{tmp_path}/vm?port=7500")))
        await asyncio.wait_for(asked.wait(), 5)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        await asyncio.wait_for(closed.wait(), 5)
        listener.close()

        full = _full(tmp_path / "full")
        connecting = asyncio.create_task(address.connect(Address.parse(f"unix://{tmp_path}/full")))
        await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        for each in full:
            each.close()
        assert connecting.cancelled()
        assert _descriptors() <= before

    run(scenario())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _full(path: Path) -> list[socket.socket]:
    """A listener with a full backlog, and what fills it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(0)
    sockets = [listener]
    while True:
        client = socket.socket(socket.AF_UNIX)
        sockets.append(client)
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:
            return sockets


def test_a_full_backlog_is_waited_for(run: Run, tmp_path: Path) -> None:
    """A Unix socket that does not wait says EAGAIN, and becomes writable without being connected."""
    listener, *clients = _full(tmp_path / "full")

    async def scenario() -> None:
        connecting = asyncio.create_task(address.connect(Address.parse(f"unix://{tmp_path}/full")))
        done, _ = await asyncio.wait([connecting], timeout=0.1)
        assert not done
        accepted = [listener.accept()[0] for _ in clients[:-1]]
        _, writer = await connecting
        writer.write(b"here")
        last, _ = listener.accept()
        assert last.recv(4) == b"here"
        writer.close()
        for each in (*accepted, last):
            each.close()

    run(scenario())
    for each in (listener, *clients):
        each.close()


@pytest.mark.parametrize("url", ["vsock://*:7500", "vsock://-1:1"])
def test_only_to_listen(run: Run, tmp_path: Path, url: str) -> None:
    with pytest.raises(AddressError) as refused:
        run(address.connect(Address.parse(url), make_socket=vsock_in(tmp_path)))
    assert refused.value.code == "invalid_address"


def test_only_to_connect(run: Run, tmp_path: Path) -> None:
    with pytest.raises(AddressError) as refused:
        run(address.listen(Address.parse(f"unix://{tmp_path}/vm?port=1"), echo))
    assert refused.value.code == "invalid_address"


@pytest.mark.parametrize("url", ["tcp://name.invalid:80", "unix:///nowhere/socket", "unix:///etc/hostname"])
def test_where_nothing_is(run: Run, url: str) -> None:
    with pytest.raises(TransportError) as refused:
        run(address.connect(Address.parse(url)))
    assert refused.value.code == "unreachable"
    assert str(refused.value).count(".") >= 1
    assert "\n" not in str(refused.value)


def test_a_python_without_vsock_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_VSOCK")
    with pytest.raises(TransportError, match="AF_VSOCK"):
        run(address.connect(Address.parse("vsock://16:7500")))
    with pytest.raises(AddressError, match="AF_VSOCK") as refused:
        run(address.listen(Address.parse("vsock://*:7500"), echo))
    assert refused.value.code == "address_unusable"


@pytest.mark.parametrize("peer", [("127.0.0.1", 80), "", b"", None, "/run/x"])
def test_only_vsock_has_a_cid(peer: object) -> None:
    class Writer:
        def get_extra_info(self, name: str) -> object:
            return {"peername": peer}[name]

    assert address.peer_cid(Writer()) is None


def test_the_cid_of_a_peer() -> None:
    class Writer:
        def get_extra_info(self, name: str) -> object:
            return {"peername": (16, 12345)}[name]

    assert address.peer_cid(Writer()) == 16


class TestUnixSockets:
    """Whose they are, and what they take the place of."""

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o177])
    def test_mode(self, run: Run, tmp_path: Path, umask: int) -> None:
        async def scenario() -> None:
            listener = await address.listen(Address.parse(f"unix://{tmp_path}/socket"), echo)
            assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "socket.lock").stat().st_mode) == 0o600
            listener.close()
            assert not (tmp_path / "socket").exists()

        before = os.umask(umask)
        try:
            run(scenario())
        finally:
            os.umask(before)

    def test_what_an_ended_process_left_is_replaced(self, run: Run, tmp_path: Path) -> None:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(tmp_path / "socket"))
        left.listen()
        left.close()
        run(self._listens(tmp_path / "socket"))

    async def _listens(self, path: Path) -> None:
        url = Address.parse(f"unix://{path}")
        listener = await address.listen(url, echo)
        reader, writer = await address.connect(url)
        writer.write_eof()
        assert await reader.read() == b" and that was all"
        writer.close()
        listener.close()

    async def _refused(self, path: Path) -> str:
        with pytest.raises(AddressError) as refused:
            await address.listen(Address.parse(f"unix://{path}"), echo)
        assert refused.value.code == "address_taken"
        assert "\n" not in str(refused.value)
        return str(refused.value)

    def test_a_file_stays(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "socket").write_text("precious")
        (tmp_path / "link").symlink_to(tmp_path / "socket")
        for name in ("socket", "link"):
            run(self._refused(tmp_path / name))
        assert (tmp_path / "socket").read_text() == "precious"
        assert (tmp_path / "link").is_symlink()

    def test_another_programs_socket_stays(self, run: Run, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(tmp_path / "socket"))
            other.listen()
            assert "another program" in run(self._refused(tmp_path / "socket"))
            for each in (other.accept()[0], socket.socket(socket.AF_UNIX)):
                each.close()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "socket"))

    def test_another_programs_busy_socket_stays(self, run: Run, tmp_path: Path) -> None:
        sockets = _full(tmp_path / "socket")
        run(self._refused(tmp_path / "socket"))
        for each in sockets:
            each.close()
        assert (tmp_path / "socket").exists()

    def test_ours_stays_even_while_it_is_only_about_to_listen(self, run: Run, tmp_path: Path) -> None:
        """Bound, and not listening yet, a socket refuses like one whose process has ended."""
        code = (
            "import sys, socket; from blindsight.wire import unixsocket;"
            "listen = socket.socket.listen;"
            "socket.socket.listen = lambda *_: (print('bound', flush=True), sys.stdin.read(), listen(*_));"
            "claim = unixsocket.claim(sys.argv[1], 5); print('listening', flush=True); claim.socket.accept()"
        )
        path = tmp_path / "socket"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "bound\n"
                assert "another process" in run(self._refused(path))
                process.stdin.close()
                assert process.stdout.readline() == "listening\n"
                assert "another process" in run(self._refused(path))
            finally:
                process.kill()
        run(self._listens(path))

    def test_of_many_at_once_one_listens(self, tmp_path: Path) -> None:
        """Over what an ended process left, again and again."""
        path = tmp_path / "socket"
        code = (
            "import sys; from blindsight.wire import unixsocket\n"
            "sys.stdin.read()\n"
            "try: claim = unixsocket.claim(sys.argv[1], 5)\n"
            "except OSError: print('taken', flush=True)\n"
            "else: print('mine', flush=True); claim.socket.accept()\n"
        )
        for _ in range(3):
            processes = [
                subprocess.Popen(
                    [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                for _ in range(4)
            ]
            for each in processes:
                assert each.stdin is not None
                each.stdin.close()
            said = sorted(each.stdout.readline() for each in processes if each.stdout)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            for each in processes:
                each.kill()
                each.wait()
                assert each.stdout is not None
                each.stdout.close()
            assert said == ["mine\n", "taken\n", "taken\n", "taken\n"]
            assert path.exists(), "killed, it leaves the file to the next one"

    def test_closing_removes_no_other_socket(self, tmp_path: Path) -> None:
        first = unixsocket.claim(str(tmp_path / "socket"), 5)
        first.remove()
        second = unixsocket.claim(str(tmp_path / "socket"), 5)
        first.remove()
        assert (tmp_path / "socket").exists()
        second.remove()
        for each in (first, second):
            each.socket.close()


def test_the_fake_is_no_vsock(tmp_path: Path) -> None:
    """It binds a Unix socket: a test that went to the kernel's AF_VSOCK would reach the machine's own host."""
    with VsockLike(tmp_path) as fake:
        fake.bind((16, 7500))
        assert fake.family is socket.AF_UNIX
    wait_until("made", (tmp_path / "16-7500").exists)

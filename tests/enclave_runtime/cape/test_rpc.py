"""What a function may ask of its owner's key."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.cape.rpc import MAX_MESSAGE_BYTES, RpcServer
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, request, within
from tests.enclave_runtime.workers.fake_function import eventually
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.cape.process import HandlerProcess

    Start = Callable[..., Awaitable[HandlerProcess]]

HELPER = """
import base64, json, socket


def ask(method, parameter):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("../rpc.sock")
        client.sendall(json.dumps({"id": 1, "method": "CapeEncryptRPC." + method, "params": [parameter]}).encode())
        answer = json.loads(client.recv(10 * 1024 * 1024))
    if answer["error"] is not None:
        raise RuntimeError(answer["error"])
    return answer["result"]


def cape_handler(data):
    encrypted = ask("Encrypt", base64.b64encode(data).decode())
    assert encrypted.startswith("cape:")
    return encrypted.encode() + b" " + base64.b64decode(ask("Decrypt", encrypted))
"""
"""Talks to the socket as the published helper does, with one `recv`."""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder whose socket serves this process's own session."""
    server = RpcServer(tmp_path, ReversingRpc())
    await server.open()
    server.admit(os.getsid(0))
    yield tmp_path
    await server.close()


async def connect(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    link = os.open(folder, os.O_PATH)
    try:
        return await within(asyncio.open_unix_connection(f"/proc/self/fd/{link}/rpc.sock", limit=MAX_MESSAGE_BYTES))
    finally:
        os.close(link)


async def ask(folder: Path, *parts: bytes, end: bool = False) -> Any:
    """The answer to a request that arrives in `parts`; None if there is none."""
    reader, writer = await connect(folder)
    try:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await within(writer.drain())
            if end:
                writer.write_eof()
        received = await within(reader.read())
    except ConnectionError:
        received = b""
    finally:
        writer.close()
    return json.loads(received) if received else None


async def test_round_trip(folder: Path):
    data = bytes(range(256))
    encrypted = await ask(folder, request("Encrypt", b64(data), number=7))
    assert encrypted == {"id": 7, "result": "cape:" + b64(data[::-1]), "error": None}
    decrypted = await ask(folder, request("Decrypt", encrypted["result"], number="an id"))
    assert decrypted == {"id": "an id", "result": b64(data), "error": None}
    assert (await ask(folder, request("Encrypt", "")))["result"] == "cape:"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (request("Decrypt", "no value"), "not a cape: value"),
        (request("Encrypt", "not base64!"), "the parameter is not base64"),
        (request("Decrypt", "\udc00"), "the parameter is not base64"),
        (request("Encrypt"), "params must be one text"),
        (request("Encrypt", "QQ==", "QQ=="), "params must be one text"),
        (request("Encrypt", 5), "params must be one text"),
        (request("Keys", "QQ=="), "there is no such method"),
        (b'{"id": 1}', "there is no such method"),
        (request("Encrypt", b64(b"fail")), "internal error"),
    ],
)
async def test_refusals(folder: Path, sent: bytes, error: str):
    assert await ask(folder, sent) == {"id": 1, "result": None, "error": error}
    assert (await ask(folder, request("Encrypt", "QQ==")))["error"] is None


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"{", b"[1]", b"null", b'{"id": 1} {', b"\xff{}", b"[" * 100_000 + b"{}", b'{"}' * 1000, b"hello}",
        *misspelt(request("Encrypt", "QQ==").decode()).values(),
    ],
)  # fmt: skip
async def test_what_is_no_request(folder: Path, sent: bytes):
    answer = await ask(folder, sent, end=True)
    assert answer == {"id": None, "result": None, "error": "the request is not a JSON object"}


async def test_an_id_that_is_no_id_is_not_sent_back(folder: Path):
    assert (await ask(folder, request("Encrypt", "QQ==", number={"a": [1]})))["id"] is None


async def test_a_request_is_complete_when_its_json_is(folder: Path):
    whole = request("Encrypt", b64(b"}" * 5), number="}}")
    for cut in range(1, len(whole), 7):
        assert (await ask(folder, whole[:cut], whole[cut:]))["error"] is None
    assert (await ask(folder, whole + b"\n"))["result"] == "cape:" + b64(b"}" * 5)


async def test_a_large_value(folder: Path):
    data = os.urandom(3_000_000)
    encrypted = (await ask(folder, request("Encrypt", b64(data))))["result"]
    assert (await ask(folder, request("Decrypt", encrypted)))["result"] == b64(data)


async def test_requests_have_a_limit(folder: Path):
    longest = "A" * ((MAX_MESSAGE_BYTES - len(request("Encrypt", ""))) // 4 * 4)
    assert (await ask(folder, request("Encrypt", longest)))["error"] is None
    too_long = await ask(folder, request("Encrypt", longest + "AAAA"))
    assert too_long is None or too_long["error"] == f"a request has at most {MAX_MESSAGE_BYTES} bytes"


async def test_answers_have_the_limit_of_who_reads_them(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ReversingRpc, "encrypt", lambda *_: [b"x" * MAX_MESSAGE_BYTES])
    answer = await ask(folder, request("Encrypt", "QQ=="))
    assert answer == {"id": 1, "result": None, "error": "the answer is too large"}


async def test_another_session_gets_nothing(folder: Path):
    """Any process that finds the socket's path; here one in a session of its own."""
    source = (
        "import socket\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "client.connect('rpc.sock')\n"
        "try:\n"
        f"    client.sendall({request('Encrypt', 'QQ==')!r})\n"
        "    print(client.recv(1000))\n"
        "except OSError:\n"
        "    print(b'')\n"
    )
    for apart, answer in ((True, b""), (False, b'{"id": 1, "result": "cape:QQ==", "error": null}')):
        asking = await asyncio.create_subprocess_exec(
            sys.executable, "-c", source, cwd=folder, start_new_session=apart, stdout=subprocess.PIPE
        )
        out, _ = await within(asking.communicate())
        assert out.decode().strip() == repr(answer)


async def test_nobody_is_served_before_it_is_known_whom_to_serve(tmp_path: Path):
    server = RpcServer(tmp_path, ReversingRpc())
    await server.open()
    asking = asyncio.create_task(ask(tmp_path, request("Encrypt", "QQ==")))
    await eventually(lambda: server._connections)
    assert not asking.done()
    server.admit(os.getsid(0))
    assert (await within(asking))["result"] == "cape:QQ=="
    await server.close()


async def test_too_many_connections_are_closed(folder: Path):
    held = [await connect(folder) for _ in range(16)]
    # Those that wait were accepted in order, before this one.
    assert await ask(folder, request("Encrypt", "QQ==")) is None
    for _, writer in held:
        writer.close()

    async def served() -> bool:
        return await ask(folder, request("Encrypt", "QQ==")) is not None

    async with asyncio.timeout(20):
        while not await served():
            pass


async def test_closing_does_not_wait_for_clients(tmp_path: Path):
    server = RpcServer(tmp_path, ReversingRpc())
    await server.open()
    server.admit(os.getsid(0))
    reader, writer = await connect(tmp_path)
    writer.write(b'{"id": ')
    await eventually(lambda: server._connections)
    await within(server.close())
    with contextlib.suppress(ConnectionError):
        assert await within(reader.read()) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await connect(tmp_path)


async def test_the_runtime_serves_others_while_a_key_is_at_work(tmp_path: Path):
    started, go_on = threading.Event(), threading.Event()

    class Slow(ReversingRpc):
        def decrypt(self, value: memoryview) -> list[bytes]:
            started.set()
            assert go_on.wait(20)
            return super().decrypt(value)

    server = RpcServer(tmp_path, Slow())
    await server.open()
    server.admit(os.getsid(0))
    asking = asyncio.create_task(ask(tmp_path, request("Decrypt", "cape:QQ==")))
    await eventually(started.is_set)  # The event loop runs.
    go_on.set()
    assert (await within(asking))["result"] == "QQ=="
    await server.close()


async def test_a_function_encrypts_and_decrypts(start_handler: Start, tmp_path: Path):
    process = await start_handler(sources.write(tmp_path, HELPER))
    data = os.urandom(3000)
    assert await within(process.call(data)) == b"cape:" + b64(data[::-1]).encode() + b" " + data
    assert await within(process.call(b"x")) == b"cape:eA== x"


async def test_what_a_function_starts_may_ask_too(start_handler: Start, tmp_path: Path):
    code = sources.write(tmp_path, sources.PROBE, **{"helper.py": HELPER.encode()})
    process = await start_handler(code)
    program = "import helper, os; os.setsid(); print(helper.ask('Encrypt', 'QQ=='))"
    child = f"[sys.executable, '-c', {program!r}], start_new_session=True"
    assert await within(process.call(f"result = subprocess.check_output({child})".encode())) == b"cape:QQ==\n"


async def test_a_function_cannot_ask_for_another_owner(start_handler: Start, tmp_path: Path):
    """Not even one that knows the other's socket."""
    code = sources.write(tmp_path, sources.PROBE)
    one, other = [await start_handler(code) for _ in range(2)]
    place = (await within(other.call(b"result = os.path.basename(os.path.dirname(os.getcwd()))"))).decode()
    attempt = (
        "import socket\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        f"    client.connect('../../{place}/rpc.sock')\n"
        f"    client.sendall({request('Encrypt', 'QQ==')!r})\n"
        "    result = client.recv(100)\n"
        "except OSError:\n"
        "    result = b''\n"
    )
    assert await within(one.call(attempt.encode())) == b""
    assert await within(other.call(attempt.encode())) != b""


def test_a_socket_that_cannot_be_made_leaves_nothing_open(tmp_path: Path):
    async def make() -> None:
        RpcServer(tmp_path / "missing", ReversingRpc())

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count
    with pytest.raises(FileNotFoundError):
        asyncio.run(make())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- a count

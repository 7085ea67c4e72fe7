"""A function whose calls say what it is to do, and a gate that holds a call until the test lets it go."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from enclave_runtime.confinement.plan import Limits
from enclave_runtime.function import Function
from enclave_runtime.workers.process import Workplace

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

LIMITS = Limits(memory_bytes=1 << 30, file_bytes=64 << 20)

SOURCE = """
import ctypes, hashlib, json, os, resource, secrets, socket, sys, threading
from pathlib import Path

calls = 0
life = secrets.token_hex(8)


class Refused(Exception):
    def __init__(self, code, detail, limits):
        super().__init__(detail)
        self.code, self.detail, self.limits = code, detail, limits


def classify(data, *, top_k, threads):
    global calls
    calls += 1
    call = json.loads(data)
    if "gate" in call:
        with socket.socket(socket.AF_UNIX) as gate:
            gate.connect(call["gate"])
            gate.recv(1)
    match call.get("do"):
        case "crash":
            os._exit(41)
        case "answer and die":
            threading.Thread(target=os._exit, args=(42,)).start()
        case "refuse":
            raise Refused(call["code"], call["detail"], call["limits"])
        case "fail":
            raise ValueError(f"cannot digest {call}")
        case "fail strangely":
            raise type(call["name"], (Exception,), {})(call)
        case "print":
            for stream in (sys.stdout, sys.stderr):
                stream.write(call["text"] * 100_000)
                stream.flush()
            os.write(1, call["text"].encode())
        case "big":
            return {"big": "x" * call["length"]}
        case "digest":
            return {"sha256": hashlib.sha256(data).hexdigest()}
        case "not json":
            return {"bytes": b"bytes"}
        case "not a number":
            return {"score": float("nan")}
        case "not an object":
            return ["a list"]
        case "forge":
            # Its number is that which it has in the process that made it, perhaps after many others.
            channel = next(fd for fd in range(3, 4096) if _is_socket(fd))
            os.write(channel, bytes.fromhex(call["bytes"]))
        case "surroundings":
            return _surroundings()
    return {"value": call.get("value"), "top_k": top_k, "threads": threads, "life": life, "calls": calls}


def _is_socket(fd):
    try:
        return socket.socket(fileno=os.dup(fd)).family == socket.AF_UNIX
    except OSError:
        return False


def _open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _surroundings():
    libc = ctypes.CDLL(None)
    signal = ctypes.c_int()
    libc.prctl(2, ctypes.byref(signal), 0, 0, 0)
    return {
        "environment": dict(os.environ),
        "descriptors": [fd for fd in range(256) if _open(fd)],
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": libc.prctl(3, 0, 0, 0, 0),
        "death signal": signal.value,
        "folder": os.getcwd(),
        "isolated": sys.flags.isolated,
    }
"""


def write(folder: Path, source: str = SOURCE) -> Function:
    """Write the function's folder, and the empty ones beside it."""
    function = Function(folder, folder / "function", folder / "draft", folder / "weights", bytes(32), {}, b"{}")
    for each in (function.folder, function.draft, function.weights):
        each.mkdir(exist_ok=True)
    (function.folder / "app.py").write_text(source)
    return function


def workplace(warden: Warden, function: Function) -> Workplace:
    return Workplace(warden, function.folder, function.weights, [1], LIMITS)


def call(**members: Any) -> bytes:
    return json.dumps(members).encode()


class Gate:
    """Calls that name it wait until they are let go. Use `async with`.

    It is a socket in `folder`: a function sees that if it sees the folder.
    """

    name = "gate"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrivals: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self._held: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Gate:
        listener = socket.socket(socket.AF_UNIX)
        # The path of a test's folder may be too long for a socket.
        descriptor = os.open(self._folder, os.O_PATH)
        try:
            listener.bind(f"/proc/self/fd/{descriptor}/{self.name}")
        finally:
            os.close(descriptor)
        (self._folder / self.name).chmod(0o666)
        self._server = await asyncio.start_unix_server(self._arrived, sock=listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.open()
        await self._server.wait_closed()

    async def arrived(self, count: int = 1) -> None:
        """Wait until `count` more calls stand before the gate."""
        for _ in range(count):
            self._held.append(await within(self._arrivals.get()))

    async def open(self) -> None:
        """Let every call go that has arrived."""
        while not self._arrivals.empty():
            self._held.append(self._arrivals.get_nowait())
        while self._held:
            writer = self._held.pop()
            writer.close()
            # A call that was killed at the gate leaves a broken connection.
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def _arrived(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._arrivals.put(writer)


async def within(awaitable: Awaitable[Any], seconds: float = 20) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


async def eventually(condition: Any) -> None:
    """Wait until `condition()` holds; what it asks about has no event of its own."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.005)

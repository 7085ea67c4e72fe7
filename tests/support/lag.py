"""How long an enclave takes to say that it is there, beside a service that has nothing else to do.

Asks both for the status every few milliseconds, from processes of their own. What waits in an asyncio service waits for
its event loop; a status needs nothing else. What the idle service takes is what the machine costs at that moment.

`python -m tests.support.lag ask PORT` until its standard input ends, `python -m tests.support.lag idle`.
"""

from __future__ import annotations

import asyncio
import json
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from tests.support import wire

EVERY_MS = 5.0


@dataclass(frozen=True)
class Lag:
    """Milliseconds. A stall counts for every question that would have come during it, not only for the one that did."""

    samples: tuple[float, ...] = field(repr=False)

    @classmethod
    def of(cls, measured: list[float]) -> Self:
        return cls(tuple(sorted(each - late for each in measured for late in _steps(each))))

    @property
    def worst(self) -> float:
        return self.samples[-1]

    def percentile(self, percent: float) -> float:
        return self.samples[min(len(self.samples) - 1, int(len(self.samples) * percent / 100))]

    def __str__(self) -> str:
        return f"p50 {self.percentile(50):.1f} ms, p99 {self.percentile(99):.1f} ms, worst {self.worst:.1f} ms"


def _steps(measured: float) -> list[float]:
    return [number * EVERY_MS for number in range(max(1, int(measured / EVERY_MS)))]


class Probe:
    """Measures while the block lasts; the lags of the enclave on `port` and of the idle service are known after it."""

    enclave: Lag
    idle: Lag

    def __init__(self, port: int, secret_file: Path) -> None:
        self._port = port
        self._secret_file = secret_file
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        idle, port = self._start("idle")
        self._idle = idle
        self._asking = [self._start("ask", number, str(self._secret_file))[0] for number in (str(self._port), port)]
        return self

    def __exit__(self, *_: object) -> None:
        self.enclave, self.idle = (Lag.of(json.loads(process.communicate()[0])) for process in self._asking)
        self._idle.communicate()

    def _start(self, *arguments: str) -> tuple[subprocess.Popen[bytes], str]:
        command = [sys.executable, "-m", "tests.support.lag", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        return process, process.stdout.readline().decode().strip()


def ask(port: int, secret_file: Path) -> None:
    question, taken = frames.encode(FrameKind.STATUS_REQUEST), []
    with wire.admitted(port, secret_file) as (connection, stream):
        print("asking", flush=True)
        while not select.select([sys.stdin], [], [], EVERY_MS / 1000)[0]:
            began = time.perf_counter()
            connection.sendall(question)
            (length,) = struct.unpack(">I", stream.read(4))
            stream.read(length)
            taken.append((time.perf_counter() - began) * 1000)
    print(json.dumps(taken))


async def idle() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (frame := await frames.read(reader)) is not None:
            hello = frame[0] is FrameKind.GATEWAY_HELLO
            writer.write(
                frames.encode(FrameKind.GATEWAY_ADMITTED)
                if hello
                else frames.encode(FrameKind.STATUS, frames.pack({"ready": True}))
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        asyncio.run(idle())

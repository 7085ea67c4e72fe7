"""QEMU's `nitro-enclave` machine, without KVM and without this machine's own AF_VSOCK: its sockets are Unix sockets.

`NITRO_QEMU` names a QEMU with that machine, `NITRO_VSOCK` vhost-device-vsock, `NITRO_FIRMWARE` folders with firmware
where QEMU finds none itself. docs/enclave-image.md says how to get them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

FIRST_LINE_SECONDS = 60.0
TRIES = 3
"""Emulation without a known clock rate hangs at times before the kernel's first line."""
_MACHINE = "nitro-enclave"
_ROLE = "arn:aws:iam::111122223333:role/test"


@dataclass(frozen=True)
class Tools:
    qemu: str
    vsock: str
    firmware: tuple[str, ...]

    @classmethod
    def find(cls) -> Self | str:
        """The programs, or why there are none."""
        named = {name: os.environ.get(name, "") for name in ("NITRO_QEMU", "NITRO_VSOCK")}
        if not all(named.values()):
            return "NITRO_QEMU and NITRO_VSOCK are not set: `make test-enclave` boots images"
        qemu, vsock = (shutil.which(program) for program in named.values())
        if qemu is None or vsock is None:
            return f"{' or '.join(named.values())} is not there: docs/enclave-image.md says what to install"
        machines = subprocess.run([qemu, "-M", "help"], capture_output=True, text=True, check=False).stdout
        if _MACHINE not in machines:
            return f"{qemu} has no machine {_MACHINE}: docs/enclave-image.md says which has"
        return cls(qemu, vsock, tuple(filter(None, os.environ.get("NITRO_FIRMWARE", "").split(":"))))


class NitroMachine:
    """An image, booted. Use `with`; `folder` takes the sockets and the console's log, and stays."""

    def __init__(self, tools: Tools, image: Path, folder: Path, *, memory: str = "2G", processors: int = 2) -> None:
        self._tools, self._image, self._memory, self._processors = tools, image, memory, processors
        self._folder = folder
        self._folder.mkdir(parents=True)
        self.console = folder / "console.log"
        self.socket = folder / "enclave.vsock"
        """vhost-device-vsock's: `CONNECT port` leads to the enclave's port."""
        self.tries = 0
        self.largest = 0
        """Bytes of memory that QEMU had at most, when looked at."""

    def __enter__(self) -> Self:
        while True:
            self.tries += 1
            self._start()
            try:
                wait_until("the kernel's first line", lambda: "Linux version" in self.log(), seconds=FIRST_LINE_SECONDS)
            except AssertionError:
                self._stop()
                if self.tries == TRIES:
                    raise
            else:
                return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stop()

    def log(self) -> str:
        return self.console.read_text(errors="replace")

    def wait_for(self, text: str, *, seconds: float) -> float:
        """Wait until the console shows `text`; returns the seconds since the start."""

        def shown() -> bool:
            if text in self.log():
                return True
            self.measure()
            assert self._qemu.poll() is None, f"the machine ended before it said {text!r}: {self.log()[-3000:]}"
            return False

        wait_until(f"{text!r} on the console:\n{self.log()[-2000:]}", shown, seconds=seconds)
        return time.monotonic() - self.began

    def wait_end(self, *, seconds: float) -> None:
        """Wait until the machine has reset itself, which ends QEMU; some leave QEMU running, after the last line."""
        self._qemu.wait(seconds)

    def measure(self) -> None:
        self.largest = max(self.largest, psutil.Process(self._qemu.pid).memory_info().rss)

    def _start(self) -> None:
        vhost = self._folder / "vhost.sock"
        for leftover in (vhost, self.socket):
            leftover.unlink(missing_ok=True)
        with (self._folder / "vsock.log").open("wb") as log:
            self._daemon = subprocess.Popen(
                [self._tools.vsock, "--vm", f"guest-cid=16,socket={vhost},uds-path={self.socket}"],
                stdout=log,
                stderr=log,
            )
        wait_until("vhost-device-vsock listening", vhost.exists)
        firmware = [item for folder in self._tools.firmware for item in ("-L", folder)]
        self.began = time.monotonic()
        with self.console.open("wb") as log:
            self._qemu = subprocess.Popen(
                [
                    "nice", self._tools.qemu, *firmware,
                    "-M", f"{_MACHINE},vsock=v,acpi=on,id=i-0123-enc4567,parent-id=i-0123,parent-role={_ROLE}",
                    "-chardev", f"socket,id=v,path={vhost}", "-accel", "tcg", "-cpu", "max",
                    "-smp", str(self._processors), "-m", self._memory, "-kernel", str(self._image),
                    # Joined to the image's own command line, and measured nowhere.
                    "-append", f"tsc_early_khz={_kilohertz()}",
                    "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio", "-no-reboot",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _stop(self) -> None:
        for process in (self._qemu, self._daemon):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def _kilohertz() -> int:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("cpu MHz"):
            return int(float(line.partition(":")[2]) * 1000)
    return 2_000_000

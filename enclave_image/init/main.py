"""What `/init` does, in order. Every step says what it did, or why it could not, in one line on the console."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from enclave_image.init import file_systems, heartbeat, modules, runtime, system_calls

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Never returns: at its end the machine is reset, and with that the enclave is gone."""
    began = time.monotonic()
    try:
        _boot()
    except (OSError, ValueError) as error:
        say(f"cannot go on: {error}")
    except BaseException as error:  # noqa: BLE001 -- of the unforeseen only the kind: its words may hold anything
        say(f"cannot go on: {type(error).__name__}")
    say(f"ends after {time.monotonic() - began:.1f} s")
    system_calls.reset()


def _boot() -> None:
    file_systems.make_root()
    file_systems.mount_all()
    _open_console()
    os.umask(0o022)
    say(f"Linux {os.uname().release}, {len(file_systems.MOUNTS)} file systems")
    say(f"modules: {' '.join(modules.load_all()) or 'none'}")
    _try("heartbeat", heartbeat.send)
    settings = runtime.Settings.read()
    say("starts the runtime")
    say(f"the runtime ended with status {runtime.run(settings.command)}")


def _try(name: str, step: Callable[[], None]) -> None:
    """A step without which the enclave still serves: on another machine than AWS's no parent may listen."""
    try:
        step()
    except OSError as error:
        say(f"{name}: {error}")
    else:
        say(f"{name}: answered")


def _open_console() -> None:
    """Standard input, output and error: the kernel has opened none where the image has no device files yet."""
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    for descriptor in (0, 1, 2):
        os.dup2(console, descriptor)
    if console > 2:
        os.close(console)


def say(line: str) -> None:
    """One line on the console, which a host sees of an enclave in debug mode only."""
    os.write(2, f"init: {line}\n".encode())

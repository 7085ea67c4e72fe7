"""The steps of `/init`. Each prints one line on the console: what it did, or why it failed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from enclave_image.init import file_systems, heartbeat, modules, runtime, system_calls

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Run all steps and the runtime, then reset the machine, which ends the enclave. Does not return."""
    began = time.monotonic()
    try:
        _boot()
    except (OSError, ValueError) as error:
        say(f"cannot go on: {error}")
    except BaseException as error:  # noqa: BLE001 -- only the type is printed: a message could contain anything
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
    """Run an optional step: outside of AWS there may be no parent that listens, for example."""
    try:
        step()
    except OSError as error:
        say(f"{name}: {error}")
    else:
        say(f"{name}: answered")


def _open_console() -> None:
    """Open the console as standard input, output and error: the kernel opens none without a device file."""
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    for descriptor in (0, 1, 2):
        os.dup2(console, descriptor)
    if console > 2:
        os.close(console)


def say(line: str) -> None:
    """Print one line on the console, which the host can read only if the enclave is in debug mode."""
    os.write(2, f"init: {line}\n".encode())

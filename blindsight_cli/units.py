"""Commands that belong to a unit of their own: run there, with the same arguments, output and exit status.

This package imports no unit. They are not in the wheel: each runs from the source tree, or from its own image.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

import typer

from blindsight import interrupt
from blindsight.arguments import CALLED_AS
from blindsight_cli import statelock
from blindsight_cli.console import fail

SOURCE: Final = Path(__file__).resolve().parents[1]
"""The source tree, where the commands run from one."""


def model_build(context: typer.Context) -> None:
    """Build the model directory."""
    pass_on("model_build", "build", *context.args, called_as="blindsight model")


def model_quantise(context: typer.Context) -> None:
    """Write the int8 variant of a model directory."""
    pass_on("model_build", "quantise", *context.args, called_as="blindsight model")


def model_check(context: typer.Context) -> None:
    """Check a model directory."""
    pass_on("model_build", "check", *context.args, called_as="blindsight model")


def bundle_inspect(context: typer.Context) -> None:
    """Show what is in a function bundle."""
    pass_on("enclave_function", "bundle", "inspect", *context.args, called_as="blindsight")


def eif_build(context: typer.Context) -> None:
    """Build an enclave image."""
    pass_on("enclave_image", "build", *context.args, called_as="blindsight eif")


def bundle_encrypt(context: typer.Context) -> None:
    """Encrypt a function bundle."""
    pass_on("enclave_function", "bundle", "encrypt", *context.args, called_as="blindsight")


def evil_gateway(context: typer.Context) -> None:
    """Play the evil gateway's tricks."""
    pass_on("evil_gateway", *context.args, called_as="blindsight demo evil-gateway")


def command(module: str, *arguments: str, python: str = sys.executable) -> list[str]:
    """What runs a unit: as a module, or by its `boot.py` if it has one, which believes no compiled file."""
    spec = importlib.util.find_spec(module) if python == sys.executable else None
    for folder in (spec and spec.submodule_search_locations) or ():
        boot = Path(folder) / "boot.py"
        if boot.exists():
            return [python, "-I", "-S", "-B", str(boot), f"{module}.commands", *arguments]
    return [python, "-m", module, *arguments]


def run(module: str, *arguments: str, python: str = sys.executable) -> None:
    """Run a unit's command, showing its progress; exit with its status if it fails. Its own last lines say why.

    `python` is an interpreter that has the unit's packages; the unit itself comes from this source tree.
    """
    require(module)
    environment = os.environ | ({} if python == sys.executable else {"PYTHONPATH": str(SOURCE)})
    interrupted = False
    # It answers a Ctrl-C of its first moments once it can. A session of its own: it gets one, from here, and no other
    # while it removes its drafts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            command(module, *arguments, python=python),
            stdout=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    while process.returncode is None:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            process.wait()
        except KeyboardInterrupt:
            if not interrupted:
                process.send_signal(signal.SIGINT)
            interrupted = True
    if interrupted and process.returncode in {0, -signal.SIGINT}:
        raise KeyboardInterrupt  # It was done before it came, and has said nothing.
    if process.returncode:
        # Otherwise it has said so, however it ended then: half-loaded libraries may crash at the end of Python.
        raise typer.Exit(interrupt.EXIT_STATUS if interrupted else process.returncode)


async def run_beside(arguments: list[str]) -> int:
    """The status of a command that others need not wait for; its own last line says what is wrong."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def output(module: str, *arguments: str) -> str:
    """What a unit's command prints, in one line; exit with status 1 if it fails. Its own last line says why."""
    require(module)
    # A session of its own: at Ctrl-C, one line is enough.
    arguments_of_it = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(arguments_of_it, check=False, stdout=subprocess.PIPE, text=True, start_new_session=True)
    if done.returncode:
        raise typer.Exit(1)
    return done.stdout.strip()


def is_installed(module: str) -> bool:
    """Whether a unit is there."""
    return importlib.util.find_spec(module) is not None


def require(module: str) -> None:
    """Exit with one line where a unit is missing: the published wheel holds client and commands only."""
    if not is_installed(module):
        fail(
            f"the unit {module} is not installed with the commands",
            "run it from the source tree (`make run` there), or from its image",
        )


def pass_on(module: str, *arguments: str, called_as: str) -> NoReturn:
    """Run a unit's command in this one's place and exit with its status.

    `called_as` is what the user typed before those of `arguments` that the unit's usage lines show.
    """
    require(module)
    for out in _outputs(arguments):
        statelock.require_not_in_use(out)
    with subprocess.Popen(command(module, *arguments), env=os.environ | {CALLED_AS: called_as}) as process:
        while process.returncode is None:
            # Ctrl-C reaches the unit as well, which removes its drafts and says so.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    raise typer.Exit(process.returncode)


def _outputs(arguments: tuple[str, ...]) -> list[Path]:
    """What a unit's command is to write: the values of its option `--out`, which argparse lets be shortened."""
    found = []
    for index, argument in enumerate(arguments):
        option, given, value = argument.partition("=")
        if len(option) > 2 and "--out".startswith(option):
            found += [Path(value)] if given else [Path(next_one) for next_one in arguments[index + 1 : index + 2]]
    return found

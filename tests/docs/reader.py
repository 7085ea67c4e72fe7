"""A reader of the documentation at a shell, and the stack that README has the reader start."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.documented import Command

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 150


def type_in(folder: Path, found: list[Command], variables: Mapping[str, str]) -> list[str]:
    """Type each command in one shell, one after the other: what is shown of their output, and is not in it."""
    assert found
    marks = [f"--- end of command {number} ---" for number in range(len(found))]
    script = [
        # As in a terminal, aliases count, and both streams are seen; a command that fails ends it.
        "shopt -s expand_aliases; set -eo pipefail; exec 2>&1",
        'curl() { command curl --silent --show-error "$@"; }',
    ]
    for command, mark in zip(found, marks, strict=True):
        script += [command.typed, f"echo; echo '{mark}'"]
    (folder / "script.sh").write_text("\n".join(script) + "\n", "utf-8")
    done = subprocess.run(
        ["bash", "script.sh"], cwd=folder, env={**environment(folder), "COLUMNS": "160", **variables},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=550,
    )  # fmt: skip
    output, lacks = done.stdout, []
    for command, mark in zip(found, marks, strict=True):
        said, separator, output = output.partition(f"\n{mark}\n")
        if not separator:
            lacks.append(f"{command.typed}: ended the shell\n{said}{done.stderr}")
            break
        lacks += [f"{command.typed}: {line}\n{said}" for line in command.missing(said)]
    return lacks


@dataclass(frozen=True)
class Reader:
    """Types in `folder`, where `.venv` and `.blindsight` are found as in the source tree, and `dog.jpeg` lies."""

    folder: Path
    port: int
    tls_port: int

    def types(self, found: list[Command], **variables: str) -> list[str]:
        """What is shown of the commands' output, and is not in it."""
        # For the commands that name no gateway: README's is at port 8000, their default.
        at = {"BLINDSIGHT_URL": f"http://localhost:{self.port}"}
        return type_in(self.folder, [replace(each, typed=self.here(each.typed)) for each in found], at | variables)

    def here(self, typed: str) -> str:
        """With this stack's ports."""
        for written, port in (("8000", self.port), ("8443", self.tls_port)):
            typed = re.sub(rf"(localhost|127\.0\.0\.1):{written}\b", rf"\1:{port}", typed)
        return typed

    def exports(self) -> dict[str, str]:
        """The variables that the banner says to export."""
        banner = (self.folder / "banner").read_text("utf-8")
        lines = re.findall(r"^ +export (.+)$", banner, re.MULTILINE)
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)


def reading(folder: Path, assets: Path) -> Iterator[Reader]:
    """`make run`, as README says, on free ports and with the trained model."""
    port, tls_port = free_port(), free_port()
    state = folder / ".blindsight"
    model = assets / "models" / "mobilenet_v2_imagenet.onnx"
    arguments = [f"PORT={port}", f"TLS_PORT={tls_port}", "METRICS_PORT=0", f"STATE={state}", f"MODEL={model}"]
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    (folder / "dog.jpeg").write_bytes((assets / "images" / "dog.jpeg").read_bytes())
    (folder / "cat.jpeg").write_bytes((assets / "images" / "cat.jpeg").read_bytes())
    (folder / "README.md").write_bytes((REPOSITORY / "README.md").read_bytes())
    for name in ("examples", "blindsight", "blindsight_cli", "pyproject.toml", "LICENSE", "CHANGELOG.md"):
        (folder / name).symlink_to(REPOSITORY / name)
    output = folder / "banner"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["make", "--no-print-directory", "run", *arguments], cwd=REPOSITORY, env=environment(folder),
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip

    def serves() -> bool:
        assert process.poll() is None, output.read_text()
        return "Ctrl-C stops everything" in output.read_text()

    try:
        wait_until("the banner", serves, seconds=START_SECONDS)
        yield Reader(folder, port, tls_port)
    finally:
        # As Ctrl-C in a terminal: to all of the foreground's processes.
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise

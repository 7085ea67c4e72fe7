"""A reader of the documentation at a shell, with the stack that README has him start."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.documented import commands
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 150


@dataclass(frozen=True)
class Reader:
    """Types in `folder`, where `.venv` and `.blindsight` are found as in the source tree, and `dog.jpeg` lies."""

    folder: Path
    port: int
    tls_port: int

    def types(self, page: str) -> list[str]:
        """Each command of `page` in one shell, one after the other; what a page shows and the output lacks."""
        found = commands(page)
        assert found
        marks = [f"--- end of command {number} ---" for number in range(len(found))]
        script = [
            # What the reader has set up: aliases count as in a terminal, a command that fails ends it.
            "shopt -s expand_aliases; set -eo pipefail",
            'curl() { command curl --silent --show-error "$@"; }',
        ]
        for command, mark in zip(found, marks, strict=True):
            script += [self.here(command.typed), f"echo; echo '{mark}'"]
        (self.folder / "script.sh").write_text("\n".join(script) + "\n", "utf-8")
        # For the commands that name no gateway: README's is at port 8000, their default.
        variables = environment(self.folder) | {
            "BLINDSIGHT_URL": f"http://localhost:{self.port}",
            "COLUMNS": "160",
        }
        done = subprocess.run(
            ["bash", "script.sh"], cwd=self.folder, env=variables, capture_output=True, text=True, check=False,
            timeout=550,
        )  # fmt: skip
        output, lacks = done.stdout, []
        for command, mark in zip(found, marks, strict=True):
            said, separator, output = output.partition(f"\n{mark}\n")
            if not separator:
                lacks.append(f"{command.typed}: ended the shell\n{said}{done.stderr}")
                break
            # What is said beside an answer goes to the other stream; pages show both.
            lacks += [
                f"{command.typed}: {line}" for line in command.missing(said) if line not in done.stderr.splitlines()
            ]
        return lacks

    def here(self, typed: str) -> str:
        """With this stack's ports."""
        return typed.replace("localhost:8000", f"localhost:{self.port}").replace(
            "localhost:8443", f"localhost:{self.tls_port}"
        )


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

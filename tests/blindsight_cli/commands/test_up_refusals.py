"""What stops `blindsight up` is one line and the next step: no traceback, and nothing half-written in the state."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import typer

from blindsight_cli import ports
from blindsight_cli.supervisor import Supervisor, Unit
from tests.support import answering, ordinary_user
from tests.support.command import blindsight
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.models import TinyModel

COMMAND = (sys.executable, "-m", "blindsight_cli", "up", "--tls-port", "0", "--metrics-port", "0")


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The first line of what it said: there is one more, the next step."""
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("packing ")]
    assert [line[:7] for line in lines] == ["error: ", "next:  "], done.stderr
    assert done.stdout == ""
    return lines[0]


@contextlib.contextmanager
def listening(family: socket.AddressFamily, host: str) -> Iterator[int]:
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("option", "family", "host"),
    [
        ("--port", socket.AF_INET, "127.0.0.1"),
        ("--port", socket.AF_INET, "0.0.0.0"),
        ("--port", socket.AF_INET6, "::1"),
        ("--tls-port", socket.AF_INET6, "::"),
        ("--metrics-port", socket.AF_INET, "127.0.0.1"),
    ],
)
def test_a_port_that_another_program_has(tmp_path: Path, option: str, family: socket.AddressFamily, host: str) -> None:
    """On either loopback address: browsers and curl take localhost for both."""
    given = {"--port": str(free_port()), "--tls-port": "0", "--metrics-port": "0"}
    with listening(family, host) as taken:
        given[option] = str(taken)
        arguments = [word for pair in given.items() for word in pair]
        done = blindsight(tmp_path, "up", *arguments, "--state", tmp_path / "state")
    assert refused(done) == f"error: port {taken} is taken"
    variable = option[2:].upper().replace("-", "_")
    assert f"make run {variable}=" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "twice", [("--port", "--tls-port"), ("--port", "--metrics-port"), ("--tls-port", "--metrics-port")]
)
def test_equal_ports(tmp_path: Path, twice: tuple[str, str]) -> None:
    port = str(free_port())
    done = blindsight(tmp_path, "up", twice[0], port, twice[1], port, "--state", tmp_path / "state")
    assert "a port each" in refused(done)
    assert not (tmp_path / "state").exists()


def test_a_port_that_is_for_root(tmp_path: Path) -> None:
    if reason := ordinary_user.unavailable():
        pytest.skip(reason)
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("every port is for every user here")
    tmp_path.chmod(0o777)
    command = ordinary_user.command("-m", "blindsight_cli", "up", "--port", "1", "--state", "state")
    variables = environment(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=90)
    assert refused(done) == "error: port 1 is not for this user: Permission denied"


def test_ports_are_kept_until_their_listeners_have_them() -> None:
    with ports.reserved(free_port(), 0, None) as kept:
        assert len({kept.http, kept.metrics, kept.enclave}) == 3
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", kept.enclave))
        for port in (kept.http, kept.metrics, kept.enclave):
            with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
                pass


def test_two_stacks_cannot_keep_the_same_port(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that start at the same moment: neither listens yet."""
    port = free_port()
    with ports.reserved(port, 0, 0):
        with pytest.raises(typer.Exit), ports.reserved(free_port(), port, 0):
            pass
        assert f"port {port} is taken" in capsys.readouterr().err
    with ports.reserved(port, 0, 0):
        pass


def test_another_program_that_takes_the_port_meanwhile_is_not_taken_for_the_gateway(
    tmp_path: Path, colour_model: TinyModel
) -> None:
    port = free_port()
    process = starting(tmp_path, "--port", str(port), "--model", str(colour_model.folder))
    try:
        wait_until("its lock", (tmp_path / "state" / "lock").exists, seconds=60)
        # As a gateway that is ready answers.
        with answering.answering(answering.json_of({"confinement": None}), port):
            assert process.stdout is not None
            lines = []
            while (line := process.stdout.readline()) and "Blindsight serves" not in line:
                lines.append(line)
            lines.append(line)
    finally:
        with process:
            if process.poll() is None:
                interrupted(process)
    said = "".join(lines)
    assert "Blindsight serves" not in said
    assert re.search(rf"^error: the gateway ended: .*port {port}: Address already in use", said, re.MULTILINE)
    assert "make run PORT=" in said


def a_file(folder: Path) -> Path:
    (folder / "state").write_text("a file")
    return folder / "state"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "state"


def a_link_to_itself(folder: Path) -> Path:
    (folder / "state").symlink_to("state")
    return folder / "state"


def in_no_file_system_for_files(folder: Path) -> Path:
    return Path("/proc/self/state")


@pytest.mark.parametrize("place", [a_file, below_a_file, a_link_to_itself, in_no_file_system_for_files])
def test_a_state_that_can_be_no_folder(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    state = place(tmp_path)
    done = blindsight(tmp_path, *COMMAND[3:], "--port", free_port(), "--state", state)
    assert "state" in refused(done)
    assert "STATE=" in done.stderr


def test_a_state_that_this_user_cannot_write(tmp_path: Path) -> None:
    if reason := ordinary_user.unavailable():
        pytest.skip(reason)
    tmp_path.chmod(0o755)
    (tmp_path / "state").mkdir(mode=0o755)
    for state in ("state", "other"):
        command = ordinary_user.command(*COMMAND[1:], "--port", str(free_port()), "--state", str(tmp_path / state))
        variables = environment(tmp_path)
        done = subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True, check=False, timeout=90)
        assert str(tmp_path / state) in refused(done)
        assert "Permission denied" in done.stderr


@pytest.mark.parametrize(("room", "written"), [(0, []), (1000, ["lock"])])
def test_no_space_for_the_state(tmp_path: Path, colour_model: TinyModel, room: int, written: list[str]) -> None:
    """Files may have `room` bytes: as on a full disk, writing fails in the middle."""
    state = tmp_path / "state"
    command = [*COMMAND, "--port", str(free_port()), "--state", str(state), "--model", str(colour_model.folder)]
    # Without compiled files: Python keeps those that it could write only in part.
    variables = {**environment(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=90,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert str(state) in done.stderr
    assert [path.name for path in state.iterdir() if path.stat().st_size] == written


@pytest.mark.parametrize("part", ["logs", "gateway", "tls", "cape", "function.zip"])
def test_a_part_of_the_state_that_is_something_else(tmp_path: Path, colour_model: TinyModel, part: str) -> None:
    """A file for a folder, a folder for a file."""
    state = tmp_path / "state"
    if part == "function.zip":
        (state / part / "x").mkdir(parents=True)
    else:
        state.mkdir()
        (state / part).write_text("a file")
    arguments = ["up", "--port", free_port(), "--tls-port", free_port(), "--state", state]
    done = blindsight(tmp_path, *arguments, "--model", colour_model.folder)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert str(state / part) in done.stderr


def interrupted(process: subprocess.Popen[str]) -> str:
    """What a process, and those of its group, said after one Ctrl-C."""
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    return said


def starting(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    # Where the tests run in the background, SIGINT is ignored, which a process inherits.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*COMMAND, "--port", str(free_port()), "--state", str(folder / "state"), *arguments],
            cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def command_lines(process: subprocess.Popen[str]) -> list[str]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(" ".join(each.cmdline()))
    return found


@pytest.mark.parametrize("unit", ["model_build build", "enclave_function bundle build"])
def test_ctrl_c_while_something_is_built(tmp_path: Path, assets: Path, unit: str) -> None:
    process = starting(tmp_path, "--model", str(assets / "models" / "mobilenet_v2_imagenet.onnx"))
    wait_until(unit, lambda: any(f"-m {unit}" in line for line in command_lines(process)), seconds=120)
    said = interrupted(process)
    assert process.returncode == 130, said
    assert said.count("interrupted") == 1
    assert "Traceback" not in said
    state = tmp_path / "state"
    if (state / "function.zip").exists():  # It came too late to stop that: then it is whole.
        assert zipfile.ZipFile(state / "function.zip").testzip() is None
    left = [path for path in state.rglob("*") if path.name.startswith(".") or path.suffix in {".part", ".tmp", ".new"}]
    assert left == []


def loaded(process: subprocess.Popen[str], library: str) -> bool:
    try:
        return library in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return False


def test_ctrl_c_while_the_command_is_loading(tmp_path: Path) -> None:
    """Loading takes the better part of the first second: here it is in its middle."""
    process = starting(tmp_path)
    wait_until("cryptography", lambda: loaded(process, "hazmat/bindings/_rust"), seconds=60)
    said = interrupted(process)
    assert (process.returncode, said) == (130, "error: interrupted.\n")


def test_ctrl_c_before_python_runs_is_answered_once_it_does(tmp_path: Path) -> None:
    """`make run` has it wait: Python itself would end in a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = starting(tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    said = interrupted(process)
    assert (process.returncode, said) == (130, "error: interrupted.\n")


async def test_a_unit_that_cannot_be_started_fails_the_start(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda _: None)
    supervisor.start(Unit("gateway", "gateway", ["serve"], os.environ, tmp_path / "missing" / "gateway.log"))
    await supervisor.failed.wait()
    assert "missing" in supervisor.failure
    await supervisor.stop()

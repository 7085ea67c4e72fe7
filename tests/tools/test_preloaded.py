"""The fork server of the tests' commands: what it promises of a process that it started."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import preloaded
from tests.support.processes import environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
SLEEPS = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"


class Programs:
    """Modules in a folder, each started by the fork server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A server of this test's own, which it may end.
        self.environment = environment(folder) | {"PYTHONHASHSEED": "7"}
        self.started: list[preloaded.Forked] = []

    def write(self, text: str) -> str:
        name = f"program{len(list(self.folder.iterdir()))}"
        (self.folder / f"{name}.py").write_text(text)
        return name

    def start(self, text: str) -> preloaded.Forked:
        """It has begun when this returns."""
        output = self.folder / f"output{len(self.started)}"
        with output.open("wb") as file:
            process = preloaded.start(self.write(text), [], cwd=self.folder, env=self.environment, stdout=file)
        self.started.append(process)
        wait_until("the program", lambda: process.poll() is not None or output.read_bytes())
        return process

    def run(self, text: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        return preloaded.run(self.write(text), [], cwd=self.folder, env=self.environment, **options)

    def server(self) -> subprocess.Popen[bytes]:
        """The process that forked the programs so far."""
        (found,) = [server.process for key, server in preloaded._servers.items() if ("PYTHONHASHSEED", "7") in key]
        return found


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    for each in programs.started:
        each.kill()
        each.wait(10)


def test_signals_go_to_the_process_and_to_no_other_of_its_number(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its end and the news of it, the kernel may give its number to another process."""
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a number names any process"))
    process = programs.start(SLEEPS)
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    ended = programs.start("")
    ended.wait(10)
    ended.returncode = None  # As if the news had not come yet.
    with contextlib.suppress(OSError):
        ended.kill()


def test_a_process_that_was_reaped_gets_no_signal(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    process = programs.start(SLEEPS)
    os.kill(process.pid, signal.SIGKILL)
    wait_until("reaped", lambda: not Path(f"/proc/{process.pid}").exists())
    monkeypatch.setattr(preloaded.Forked, "poll", lambda _: None)
    process.send_signal(signal.SIGTERM)
    monkeypatch.undo()
    assert process.wait(10) == -signal.SIGKILL


def test_descriptors_above_those_of_select(programs: Programs) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this user may not have so many files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        process = programs.start(SLEEPS)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
        assert programs.run("print(6 * 7)").stdout == b"42\n"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptors_are_left(programs: Programs) -> None:
    programs.run("")
    before = descriptors()
    for _ in range(5):
        programs.run("print(1)", given=b"x")
        programs.start("").wait(10)
    programs.started.clear()
    wait_until("threads that feed", lambda: descriptors() == before)


def test_where_the_server_has_gone_its_processes_can_be_ended_and_the_next_has_another(programs: Programs) -> None:
    process = programs.start(SLEEPS)
    server = programs.server()
    server.kill()
    server.wait(10)
    assert process.poll() is None
    process.kill()
    assert process.wait(10) == preloaded.LOST
    assert process.poll() == preloaded.LOST
    process.kill()
    assert programs.run("print(6 * 7)").stdout == b"42\n"
    assert programs.server().pid != server.pid


def test_an_interrupt_at_the_terminal_is_for_the_programs(programs: Programs) -> None:
    """Ctrl-C is sent to the whole group: the server still has to tell the ends of its processes."""
    process = programs.start(SLEEPS)
    server = programs.server()
    server.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == -signal.SIGINT
    assert programs.run("print(6 * 7)").stdout == b"42\n"
    assert programs.server().pid == server.pid


def test_an_interrupt_while_the_server_starts(tmp_path: Path) -> None:
    variables = environment(tmp_path) | {"PYTHONHASHSEED": "8"}
    server = preloaded._Server(variables)
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert server.process.poll() is None
    server.end()
    assert server.process.returncode == 0


def test_what_is_interrupted_is_ended(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[preloaded.Forked] = []
    start = preloaded.start
    monkeypatch.setattr(preloaded, "start", lambda *of, **options: started.append(start(*of, **options)) or started[0])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preloaded, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        programs.run(SLEEPS)
    assert started[0].returncode == -signal.SIGKILL


def test_input_that_is_not_read_ends_with_the_process(programs: Programs) -> None:
    threads = threading.active_count()
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run(SLEEPS, given=bytes(1 << 20), timeout=1)
    wait_until("the end of the thread that feeds", lambda: threading.active_count() == threads)


def test_feeding_a_closed_pipe_says_nothing() -> None:
    """An error in a thread would be a warning, and a number that was closed may be another file's by then."""
    read, write = os.pipe()
    os.close(read)
    pipe = os.fdopen(write, "wb", 0)
    pipe.close()
    preloaded._feed(pipe, b"x")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_second_thread_would_be_missing_after_a_fork(threads: int) -> None:
    """Asked of a process of its own: the tests' has threads."""
    begin = "threading.Thread(target=threading.Event().wait, daemon=True).start();" if threads == 2 else ""
    asks = f"import threading; {begin} from tests.support import preloaded_server as s; print(s.fault_of_threads())"
    said = subprocess.run([sys.executable, "-c", asks], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert said.stdout == ("it has 2 threads, of which a fork keeps one\n" if threads == 2 else "None\n")


def test_what_the_server_cannot_do_is_told() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(b"it cannot fork: no memory")
        with pytest.raises(RuntimeError, match="processes: it cannot fork: no memory"):
            preloaded.begun(ours)
        theirs.close()
        with pytest.raises(RuntimeError, match="it has ended"):
            preloaded.begun(ours)


def test_threads_share_a_process(programs: Programs) -> None:
    process = programs.start(SLEEPS)
    with ThreadPoolExecutor(8) as threads:
        codes = [threads.submit(process.wait, 10) for _ in range(8)]
        process.terminate()
        assert {code.result() for code in codes} == {-signal.SIGTERM}

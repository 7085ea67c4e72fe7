"""What a confined process cannot do, and what it still can."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.cape import landlock, libc, sandbox, seccomp
from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from collections.abc import Callable

    Confined = Callable[..., str]

PREAMBLE = """
import errno, os, socket, subprocess, sys, threading
from pathlib import Path
from enclave_runtime.cape import landlock, sandbox

def refused(code, action, *arguments, **keywords):
    try:
        action(*arguments, **keywords)
    except OSError as error:
        assert error.errno == code, error
    else:
        raise AssertionError("it was allowed")

shared, own = Path(sys.argv[1]), Path(sys.argv[2])
os.chdir(own)
"""
CONFINE = "sandbox.confine(read_only=[shared], writable=[own])\n"


@pytest.fixture
def confined(tmp_path: Path, confinable: None) -> Confined:
    """Run a program that is confined before its second part; returns what it prints."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    own.mkdir()
    (shared / "file").write_text("shared")
    (tmp_path / "secret").write_text("secret")

    def run(source: str, *, before: str = "") -> str:
        program = PREAMBLE + textwrap.dedent(before) + CONFINE + textwrap.dedent(source)
        done = subprocess.run(
            [sys.executable, "-c", program, str(shared), str(own)],
            capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3], check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_files_outside_cannot_be_read_or_listed(confined: Confined):
    confined("""
        outside = own.parent / "secret"
        refused(errno.EACCES, outside.read_bytes)
        refused(errno.EACCES, Path("../secret").read_bytes)
        refused(errno.EACCES, Path("/etc/passwd").read_bytes)
        refused(errno.EACCES, os.listdir, own.parent)
        refused(errno.EACCES, os.listdir, "/")
        refused(errno.EACCES, os.listdir, "/tmp")
        refused(errno.EACCES, os.listdir, "/dev/shm")
        refused(errno.EACCES, os.rename, outside, own / "mine")
        refused(errno.EACCES, outside.unlink)
        assert (shared / "file").read_text() == "shared"
    """)


def test_files_outside_cannot_be_written_or_changed(confined: Confined, tmp_path: Path):
    secret = tmp_path / "secret"
    before = secret.stat()
    confined("""
        outside = own.parent / "secret"
        for path in (outside, shared / "file"):
            refused(errno.EACCES, path.write_text, "changed")
            refused(errno.EACCES, os.truncate, path, 0)
            refused(errno.EPERM, os.setxattr, path, "user.x", b"x")
            refused(errno.EPERM, os.chown, path, os.getuid(), os.getgid())
            os.chmod(path, 0o777)  # Told that it worked, lest copying a file fails; but see below.
        refused(errno.EACCES, (shared / "new").touch)
        with (shared / "file").open() as file:
            os.fchmod(file.fileno(), 0)
    """)
    after = secret.stat()
    assert (after.st_mode, secret.read_text()) == (before.st_mode, "secret")
    assert (tmp_path / "shared" / "file").stat().st_mode & 0o777 != 0


def test_the_own_folder_is_the_process_s_to_use(confined: Confined):
    confined("""
        import shutil, sqlite3, tempfile
        Path("data.csv").write_text("a,b")
        Path("touched").touch()
        assert Path("touched").exists()
        Path("folder/below").mkdir(parents=True)
        os.rename("data.csv", "folder/below/data.csv")
        assert shutil.copy(shared / "file", "copy") == "copy"
        shutil.copytree("folder", "copied")
        Path("copy").open("r+").truncate(1)
        shutil.rmtree("folder")
        with sqlite3.connect("base.db") as base:
            base.execute("create table t (x)")
        with tempfile.NamedTemporaryFile(dir=".") as file:
            file.write(b"x")
        refused(errno.EPERM, os.symlink, "/etc", "link")
        refused(errno.EPERM, os.link, "copy", "link")
        refused(errno.EPERM, os.mknod, "node")
    """)


def test_no_network(confined: Confined):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        confined(
            f"""
            for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK, socket.AF_PACKET):
                refused(errno.EPERM, socket.socket, family, socket.SOCK_RAW)
                refused(errno.EPERM, socket.socket, family)
            # A socket from before is of no use, either.
            refused(errno.EACCES, before.connect, ("127.0.0.1", {port}))
            refused(errno.EACCES, before.bind, ("127.0.0.1", 0))
            refused(errno.EPERM, before.listen)
            """,
            before="before = socket.socket()\n",
        )
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_unix_sockets_reach_out_but_cannot_be_reached(confined: Confined, tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        abstract.bind(f"\0{tmp_path}")
        abstract.listen()
        scopes = landlock.abi() >= landlock.SCOPES_ABI
        confined(f"""
            if landlock.abi() < 9:  # Then the sockets that may be used have to be named.
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect("../s")
                    client.send(b"hello")
            with socket.socket(socket.AF_UNIX) as client:
                if {scopes}:
                    refused(errno.EPERM, client.connect, "\\0" + str(own.parent))
                refused(errno.EACCES, client.bind, "mine")
                refused(errno.EPERM, client.listen)
            one, other = socket.socketpair()
            one.send(b"x")
            assert other.recv(1) == b"x"
        """)


def test_other_processes_are_out_of_reach(confined: Confined):
    confined("""
        import ctypes, resource, signal
        parent = os.getppid()
        refused(errno.EPERM, os.kill, parent, 0)
        refused(errno.EPERM, resource.prlimit, parent, resource.RLIMIT_NOFILE, (9, 9))
        refused(errno.EPERM, os.sched_setaffinity, parent, {0})
        refused(errno.EPERM, os.setpriority, os.PRIO_USER, 0, 19)
        refused(errno.EACCES, os.listdir, "/proc")
        refused(errno.EACCES, os.readlink, f"/proc/{parent}/cwd")
        refused(errno.EACCES, os.listdir, f"/proc/{parent}/fd")
        refused(errno.EACCES, Path(f"/proc/{parent}/status").read_bytes)
        # Every socket's path is there.
        refused(errno.EACCES, Path("/proc/self/net/unix").read_bytes)
        refused(errno.EACCES, Path("/proc/thread-self/net/unix").read_bytes)
        assert Path("/proc/self/maps").read_bytes()
        assert os.listdir("/proc/self/fd")
        os.kill(os.getpid(), 0)
        child = subprocess.Popen(["/bin/sleep", "1000"])
        child.kill()
        assert child.wait() == -signal.SIGKILL
    """)


def test_signals_stay_inside_also_where_landlock_does_not_keep_them(confined: Confined):
    """Landlock up to ABI 5, of Linux 6.7 to 6.11."""
    confined(
        """
        import ctypes, fcntl, signal
        for pid in (os.getppid(), -1):
            refused(errno.EPERM, os.kill, pid, 0)
        reading, writing = os.pipe()
        refused(errno.EPERM, fcntl.fcntl, reading, fcntl.F_SETOWN, os.getppid())
        refused(errno.EPERM, fcntl.ioctl, reading, 0x8901, os.getppid().to_bytes(4, "little"))
        descriptor = os.pidfd_open(os.getppid())
        refused(errno.EPERM, signal.pidfd_send_signal, descriptor, 0)
        assert fcntl.fcntl(reading, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
        os.kill(os.getpid(), 0)
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        before="""
        landlock.abi = lambda: 4
        import signal
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        """,
    )


def test_an_abort_works_where_the_filter_keeps_the_signals(confined: Confined):
    """The C library's `abort` sends itself a signal."""
    before = (
        "landlock.abi = lambda: 4\nif os.fork():\n    print(os.waitstatus_to_exitcode(os.wait()[1]))\n    sys.exit()\n"
    )
    assert confined("os.abort()", before=before) == f"{-signal.SIGABRT}\n"


def test_system_calls_that_are_refused(confined: Confined):
    confined("""
        import ctypes
        from enclave_runtime.cape import libc, seccomp
        column = list(seccomp._AUDIT_ARCH).index(os.uname().machine)
        for name, numbers in seccomp._REFUSED.items():
            if numbers[column] is not None:
                refused(errno.EPERM, libc.syscall, numbers[column], -1, -1, -1, -1)
        for name, numbers in seccomp._IGNORED.items():
            if numbers[column] is not None:
                assert libc.syscall(numbers[column], -1, -1, -1, -1) == 0
        new_user_namespace = 0x10000000
        refused(errno.EPERM, libc.syscall, seccomp._CLONE[column], new_user_namespace, 0, 0, 0, 0)
        refused(errno.ENOSYS, libc.syscall, seccomp._CLONE3[column], 0, 0)
        refused(errno.ENOSYS, libc.syscall, 463, 0)
        refused(errno.ENOSYS, libc.syscall, 0x40000000 + 39)  # getpid, in x32
    """)


def test_threads_and_programs_are_confined_too(confined: Confined):
    out = confined("""
        failed = []
        thread = threading.Thread(target=lambda: failed.append(refused(errno.EACCES, open, "/etc/passwd")))
        thread.start()
        thread.join()
        assert failed == [None]
        subprocess.run([sys.executable, "-c", "print(1 + 1)"], check=True, start_new_session=True)
        cat = subprocess.run(["/bin/cat", "/etc/passwd"], capture_output=True)
        assert cat.returncode == 1
        assert b"Permission denied" in cat.stderr
    """)
    assert out == "2\n"


def test_root_keeps_no_capabilities(confined: Confined):
    confined("""
        status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines())
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert os.geteuid() or int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        with open("/proc/self/status") as own_status:
            assert "Seccomp:\\t2" in own_status.read()
    """)


def test_devices(confined: Confined):
    confined("""
        assert len(Path("/dev/urandom").open("rb").read(8)) == 8
        Path("/dev/null").write_text("x")
        refused(errno.EACCES, os.open, "/dev/tty", os.O_RDWR)
        refused(errno.EACCES, os.listdir, "/dev")
    """)


def test_a_process_with_threads_is_not_confined_in_part(confined: Confined):
    out = confined(
        "raise AssertionError('confined')",
        before="""
        stop = threading.Event()
        threading.Thread(target=stop.wait).start()
        try:
            sandbox.confine(read_only=[], writable=[])
        except sandbox.SandboxUnavailable as error:
            print(error)
        finally:
            stop.set()
        sys.exit()
        """,
    )
    assert out == "the process has threads already\n"


def test_numpy_and_onnxruntime_run_a_model(confined: Confined, tmp_path: Path):
    folder = tmp_path / "shared" / "model"
    folder.mkdir()
    write_colour_model(folder)
    out = confined("""
        import numpy, onnxruntime
        session = onnxruntime.InferenceSession(str(shared / "model" / "tiny.onnx"))
        (entry,) = session.get_inputs()
        image = numpy.zeros([size if isinstance(size, int) else 1 for size in entry.shape], numpy.float32)
        (scores,) = session.run(None, {entry.name: image})
        print(scores.shape[-1], bool(numpy.isfinite(scores).all()))
        print((numpy.ones((64, 64)) @ numpy.ones((64, 64))).sum() == 64**3)
    """)
    assert out == "1000 True\nTrue\n"


@pytest.mark.parametrize(("version", "reason"), [(1, "too old: ABI 1"), (3, "too old: ABI 3"), (4, None), (7, None)])
def test_the_kernel_s_landlock_must_know_tcp(monkeypatch: pytest.MonkeyPatch, version: int, reason: str | None):
    monkeypatch.setattr(landlock, "abi", lambda: version)
    found = sandbox.available()
    assert found is None if reason is None else reason in (found or "")


def test_a_kernel_without_landlock_is_told(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> int:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(libc, "syscall", refuse)
    assert sandbox.available() == "the kernel has no Landlock, or has it switched off"
    with pytest.raises(sandbox.SandboxUnavailable, match="no Landlock"):
        sandbox.confine(read_only=[], writable=[])


def test_an_unknown_processor_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert sandbox.available() == "no system call filter for riscv64"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("own_pid", [None, 1234])
def test_a_filter_s_jumps_stay_inside_it(machine: str, own_pid: int | None):
    program = seccomp._program(machine, own_pid=own_pid)
    assert len(program) <= 4096
    assert program[-1] == seccomp._return(seccomp._ALLOW)
    for index, (_, if_true, if_false, _) in enumerate(program):
        assert max(if_true, if_false) <= 255
        assert index + 1 + max(if_true, if_false) < len(program) or index == len(program) - 1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_another_architecture_s_calls_end_the_process(machine: str):
    program = seccomp._program(machine, own_pid=None)
    foreign = {"x86_64": 0x40000003, "aarch64": 0x40000028}[machine]
    assert _outcome(program, arch=foreign, number=1) == seccomp._KILL
    assert _outcome(program, arch=seccomp._AUDIT_ARCH[machine], number=seccomp._FIRST_UNKNOWN - 1) == seccomp._ALLOW


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_the_filter_says_on_either_architecture(machine: str):
    program, column = seccomp._program(machine, own_pid=7), list(seccomp._AUDIT_ARCH).index(machine)

    def outcome(numbers: tuple[int | None, ...], *arguments: int) -> int:
        number = numbers[column]
        assert number is not None
        return _outcome(program, arch=seccomp._AUDIT_ARCH[machine], number=number, arguments=arguments)

    allow, refuse, ignore = seccomp._ALLOW, seccomp._REFUSE, seccomp._IGNORE
    assert outcome(seccomp._SOCKET, socket.AF_UNIX) == allow
    assert outcome(seccomp._SOCKET, socket.AF_INET) == refuse
    assert outcome(seccomp._CLONE, 0x3D0F00) == allow  # As threads are made.
    assert outcome(seccomp._CLONE, 0x20000000 | signal.SIGCHLD) == refuse
    assert outcome(seccomp._PRLIMIT, 0) == allow
    assert outcome(seccomp._PRLIMIT, 8) == refuse
    assert [outcome(call, 7) for call in seccomp._KILL_CALLS] == [allow] * 4
    assert [outcome(call, 8) for call in seccomp._KILL_CALLS] == [refuse] * 4
    assert outcome(seccomp._FCNTL, 3, 8) == outcome(seccomp._IOCTL, 3, 0x8902) == refuse
    assert outcome(seccomp._FCNTL, 3, 2) == outcome(seccomp._IOCTL, 3, 0x5401) == allow
    assert outcome(seccomp._REFUSED["ptrace"], 0) == refuse
    assert outcome(seccomp._IGNORED["setsid"]) == ignore


def _outcome(
    program: list[tuple[int, int, int, int]], *, arch: int, number: int, arguments: tuple[int, ...] = ()
) -> int:
    """Run a filter as the kernel does."""
    words = {seccomp._NUMBER_AT: number, seccomp._ARCH_AT: arch}
    words |= {seccomp._ARGUMENTS_AT + 8 * index: argument & 0xFFFFFFFF for index, argument in enumerate(arguments)}
    index, loaded = 0, 0
    while True:
        code, if_true, if_false, operand = program[index]
        index += 1
        match code:
            case seccomp._LOAD:
                loaded = words[operand]
            case seccomp._RETURN:
                return operand
            case seccomp._EQUAL:
                index += if_true if loaded == operand else if_false
            case seccomp._AT_LEAST:
                index += if_true if loaded >= operand else if_false
            case seccomp._ANY_BIT:
                index += if_true if loaded & operand else if_false

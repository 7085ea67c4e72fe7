"""What untrusted code tries, one attack a function; runs inside a confined process, and so imports nothing of ours.

`prepare` runs outside and sets up what there is to reach; `tried` tries everything and tells how each attempt ended:
`reached`, or what refused it.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

BYSTANDER = """
import ctypes, os, signal, socket, sys
folder = sys.argv[1]
secret = ctypes.create_string_buffer(b"the bystander's secret")
libc = ctypes.CDLL(None)
# Without capabilities: else none but a process that has them could look into it.
capset = 126 if os.uname().machine == "x86_64" else 91
libc.syscall(capset, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
libc.prctl(4, 1, 0, 0, 0)
tcp = socket.create_server(("127.0.0.1", 0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
path = socket.socket(socket.AF_UNIX)
path.bind(folder + "/socket")
path.listen()
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0" + folder)
abstract.listen()
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 4096, 0o600 | 0o1000)
libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)
print(os.getpid(), tcp.getsockname()[1], udp.getsockname()[1], ctypes.addressof(secret), segment, flush=True)
signal.pause()
"""
"""Another process of the same user, with everything that one can reach of another."""

there = SimpleNamespace()
"""What `prepare` has made."""

X86 = os.uname().machine == "x86_64"
PIDFD_GETFD, IO_URING_SETUP = 438, 425
USERFAULTFD, ADD_KEY, PERF_EVENT_OPEN = (323, 248, 298) if X86 else (282, 217, 241)

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.shmat.restype = ctypes.c_void_p


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def prepare(place):
    """Make files and a bystander in `place`."""
    outside, shared = Path(place, "outside"), Path(place, "shared")
    for folder in (outside, shared):
        folder.mkdir(exist_ok=True)
    secret = outside / "secret"
    secret.write_text("secret")
    secret.chmod(0o666)
    (shared / "file").write_text("shared")
    (shared / "file").chmod(0o666)
    if os.geteuid() == 0:
        os.mknod(outside / "device", 0o020666, os.makedev(1, 7))
        (outside / "device").chmod(0o666)
    started = subprocess.Popen(
        [sys.executable, "-I", "-c", BYSTANDER, str(outside)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    told = zip(("bystander", "tcp", "udp", "address", "segment"), started.stdout.readline().split(), strict=True)
    vars(there).update({name: int(value) for name, value in told}, outside=outside, shared=shared, secret=secret)
    there.process = started


def checked(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def reads_a_file():
    there.secret.read_text()


def writes_a_file():
    there.secret.write_text("changed")


def cuts_a_file():
    os.truncate(there.secret, 0)


def changes_a_lent_file():
    (there.shared / "file").write_text("changed")


def cuts_a_lent_file():
    os.truncate(there.shared / "file", 0)


def makes_a_file():
    (there.outside / "made").touch()


def removes_a_file():
    (there.outside / "made").touch()
    (there.outside / "made").unlink()


def lists_a_folder():
    list(there.outside.iterdir())


def asks_for_attributes():
    there.secret.stat()


def changes_times():
    os.utime(there.secret, (1, 1))
    assert there.secret.stat().st_mtime == 1, "no effect"


def changes_a_mode():
    before = there.secret.stat().st_mode & 0o777
    there.secret.chmod(before ^ 0o100)
    assert there.secret.stat().st_mode & 0o777 != before, "no effect"


def leases_a_lent_file():
    descriptor = os.open(there.shared / "file", os.O_RDONLY)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def watches_a_folder():
    checked(libc.inotify_add_watch(libc.inotify_init(), os.fsencode(there.shared), 0x100))


def opens_a_device():
    os.close(os.open(there.outside / "device", os.O_RDWR))


def connects_by_tcp():
    socket.create_connection(("127.0.0.1", there.tcp), timeout=5).close()


def sends_by_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", there.udp))
        # That of a network of its own comes back as an error.
        sender.connect(("127.0.0.1", there.udp))
        sender.send(b"x")
        sender.send(b"x")


def asks_for_network_devices():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0):
        pass


def connects_to_an_abstract_name():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + str(there.outside))


def connects_to_a_path():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(there.outside / "socket"))


def signals():
    os.kill(there.bystander, 0)


def queues_a_signal():
    checked(libc.sigqueue(there.bystander, 0, None))


def sees_processes():
    assert str(there.bystander) in [path.name for path in Path("/proc").iterdir()], "it is not there"


def reads_a_command_line():
    assert Path(f"/proc/{there.bystander}/cmdline").read_bytes()


def reads_an_environment():
    Path(f"/proc/{there.bystander}/environ").read_bytes()


def reads_memory_by_file():
    with Path(f"/proc/{there.bystander}/mem").open("rb", buffering=0) as memory:
        memory.seek(there.address)
        assert memory.read(22) == b"the bystander's secret"


def reads_memory():
    read = ctypes.create_string_buffer(22)
    mine, theirs = _Vector(ctypes.addressof(read), 22), _Vector(there.address, 22)
    checked(libc.process_vm_readv(there.bystander, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))
    assert read.raw == b"the bystander's secret"


def traces():
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    checked(libc.ptrace(16, there.bystander, None, None))
    os.waitpid(there.bystander, 0x40000000)
    checked(libc.ptrace(17, there.bystander, None, None))


def takes_a_descriptor():
    theirs = os.pidfd_open(there.bystander)
    checked(libc.syscall(PIDFD_GETFD, theirs, 0, 0))


def sets_a_limit():
    resource.prlimit(there.bystander, resource.RLIMIT_NOFILE, (900, 900))


def sets_a_priority():
    os.setpriority(os.PRIO_PROCESS, there.bystander, 19)


def moves_to_a_processor():
    os.sched_setaffinity(there.bystander, os.sched_getaffinity(0))


def attaches_shared_memory():
    if libc.shmat(there.segment, None, 0) in {None, ctypes.c_void_p(-1).value}:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def makes_a_user_namespace():
    # Last of all: nothing else of this process is as it was.
    checked(libc.unshare(0x10000000))


def sets_up_io_uring():
    checked(libc.syscall(IO_URING_SETUP, 8, ctypes.create_string_buffer(200)))


def traps_page_faults():
    checked(libc.syscall(USERFAULTFD, 1))


def uses_a_keyring():
    checked(libc.syscall(ADD_KEY, b"user", b"blindsight-test", b"x", 1, -2))


def watches_performance():
    attributes = (ctypes.c_uint32 * 32)(1, 128)
    attributes[10] = 0b1100010  # Of this process, in user mode only.
    checked(libc.syscall(PERF_EVENT_OPEN, attributes, 0, -1, -1, 0))


ATTACKS = [
    reads_a_file, cuts_a_lent_file, changes_a_lent_file, writes_a_file, cuts_a_file, makes_a_file, removes_a_file,
    lists_a_folder, asks_for_attributes, changes_times, changes_a_mode, leases_a_lent_file, watches_a_folder,
    opens_a_device, connects_by_tcp, sends_by_udp, asks_for_network_devices, connects_to_an_abstract_name,
    connects_to_a_path, signals, queues_a_signal, sees_processes, reads_a_command_line, reads_an_environment,
    reads_memory_by_file, reads_memory, traces, takes_a_descriptor, sets_a_limit, sets_a_priority,
    moves_to_a_processor, attaches_shared_memory, sets_up_io_uring, traps_page_faults, uses_a_keyring,
    watches_performance, makes_a_user_namespace,
]  # fmt: skip


def tried():
    """How each ended."""
    outcomes = {}
    for each in ATTACKS:
        try:
            each()
        except AssertionError as failed:
            outcomes[each.__name__] = str(failed) or "no effect"
        except OSError as refused:
            outcomes[each.__name__] = errno.errorcode.get(refused.errno, repr(refused))
        else:
            outcomes[each.__name__] = "reached"
    return outcomes


def attack():
    """Print it, as JSON."""
    print(json.dumps(tried()))

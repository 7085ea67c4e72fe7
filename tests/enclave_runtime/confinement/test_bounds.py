"""Each confined process is bounded as a whole: memory over all that it starts, shared memory and files, and tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.confinement.cgroups import Groups
from enclave_runtime.confinement.layers import Layers
from enclave_runtime.confinement.plan import Limits
from tests.support.memory_hogs import CHILDREN_TAKE

if TYPE_CHECKING:
    from enclave_runtime.confinement.warden import Warden
    from tests.enclave_runtime.confinement.conftest import Machine

MEMORY = 128 << 20
LIMITS = Limits(memory_bytes=MEMORY, file_bytes=16 << 20, tasks=24)
SLACK = 1.25
"""What the kernel may give beyond a limit before it acts, and what the interpreter needs itself."""

CHILDREN = f"import json\n{CHILDREN_TAKE}\nprint(json.dumps({{'taken': megabytes}}), flush=True)"


def megabytes(machine: Machine, source: str, layers: Layers, limits: Limits = LIMITS) -> int:
    """The most that `source` says it took, until it was refused more or ended for it."""
    done = machine.run(source, layers, limits=limits)
    lines = done.stdout.splitlines()
    return max((int(json.loads(line)["taken"]) for line in lines), default=0)


def only(machine: Machine, **fields: Any) -> Layers:
    layers = Layers(**fields)
    if layers.namespaces and not machine.root:
        layers = replace(layers, user_namespace=True)
    if not set(layers.present) <= set(machine.layers.present):
        pytest.skip("this machine does not have it")
    return layers


def test_six_children_have_one_limit(either: Machine):
    assert megabytes(either, CHILDREN, either.layers) <= SLACK * MEMORY / (1 << 20)


@pytest.mark.parametrize("layer", [{"cgroup": True}, {"seccomp": True}], ids=["cgroup", "seccomp"])
def test_six_children_have_one_limit_by_either_layer(either: Machine, layer: dict[str, bool]):
    assert megabytes(either, CHILDREN, only(either, **layer)) <= SLACK * MEMORY / (1 << 20)


def test_without_both_each_child_has_a_limit_of_its_own(either: Machine):
    assert megabytes(either, CHILDREN, Layers()) == 360


READ_ONLY = """
import ctypes, json, mmap
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for taken in range(1, 41):
    block = libc.mmap(None, 64 << 20, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | {flags}, -1, 0)
    if block == ctypes.c_void_p(-1).value:
        break
    ctypes.memset(block, 1, {filled})
    libc.mprotect(block, 64 << 20, 1)
    print(json.dumps({{"taken": taken * 64}}), flush=True)
"""
GROWS_DOWN = 0x100


@pytest.mark.parametrize("flags", [0, GROWS_DOWN], ids=["made read-only", "growing downwards"])
def test_memory_that_no_limit_on_data_counts(either: Machine, flags: int):
    """The kernel forgets what is made read-only once it is filled, and never counts such as grows downwards."""
    reserved = READ_ONLY.format(flags=flags, filled=1)
    # The address space of libraries comes on top where nothing counts memory itself.
    assert megabytes(either, reserved, Layers()) <= (MEMORY + (1 << 30)) / (1 << 20)
    if either.layers.cgroup:
        assert megabytes(either, reserved, Layers(cgroup=True)) == 40 * 64
        filled = READ_ONLY.format(flags=flags, filled=64 << 20)
        assert megabytes(either, filled, either.layers) <= SLACK * MEMORY / (1 << 20)


SHARED = {
    "anonymous": "mmap.mmap(-1, 32 << 20)",
    "memfd": "mmap.mmap(_file(os.memfd_create('x')), 32 << 20)",
    "zero": "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 32 << 20)",
}


@pytest.mark.parametrize("kind", SHARED)
def test_shared_memory_is_counted_or_refused(either: Machine, kind: str):
    source = f"""
import json, mmap, os
def _file(descriptor):
    os.ftruncate(descriptor, 32 << 20)
    return descriptor
kept = []
for taken in range(1, 11):
    try:
        kept.append({SHARED[kind]})
    except OSError as error:
        break
    kept[-1][:] = bytes(32 << 20)
    print(json.dumps({{"taken": taken * 32}}), flush=True)
"""
    limits = replace(LIMITS, file_bytes=1 << 30)
    assert megabytes(either, source, Layers(), limits) == 320
    assert megabytes(either, source, either.layers, limits) <= SLACK * MEMORY / (1 << 20)


FILES = """
import json, os
taken = 0
try:
    for number in range(8):
        with open(f"{folder}/file-{{number}}", "wb") as file:
            file.write(bytes(8 << 20))
        taken += 8
        print(json.dumps({{"taken": taken}}), flush=True)
except OSError:
    pass
"""


@pytest.mark.parametrize("folder", [".", "/tmp", "/dev/shm"])
def test_files_have_one_limit_in_sum(either: Machine, folder: str):
    """They are in memory, shared memory included."""
    assert megabytes(either, FILES.format(folder=folder), either.layers) == 8  # Of 16, some are its own folder's.


def test_without_namespaces_a_cgroup_counts_files(machine: Machine):
    layers = only(machine, ids=True, cgroup=True, landlock=1)
    source = FILES.format(folder=".").replace("range(8)", "range(40)")
    assert 0 < megabytes(machine, source, layers) <= SLACK * MEMORY / (1 << 20)


def test_without_both_files_are_bounded_one_by_one(either: Machine):
    assert megabytes(either, FILES.format(folder="."), Layers()) == 64
    too_long = "import os; os.posix_fallocate(os.open('big', os.O_RDWR | os.O_CREAT), 0, (16 << 20) + 1)"
    done = either.run(too_long, Layers(), limits=LIMITS)
    assert "File too large" in done.stderr or done.returncode < 0


HOLDING = """
import sys
block = bytearray(100 << 20)
print("filled", flush=True)
sys.stdin.readline()
"""


def test_all_together_have_a_limit_too(warden: Warden):
    """Else a hundred functions, each within its own, would take the machine."""
    if warden.groups is None:
        pytest.skip("no control groups here")
    groups = Groups(160 << 20)
    with ExitStack() as stack:
        stack.callback(groups.close)
        started = []
        for _ in range(3):
            group = groups.make(memory_bytes=150 << 20, tasks=9)
            command = ["sh", "-c", 'read line; exec "$0" -c "$1"', sys.executable, HOLDING]
            process = stack.enter_context(
                subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            stack.callback(process.kill)
            group.add(process.pid)
            started.append(process)
        for process in started:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"begin\n")
            process.stdout.readline()  # Nothing, if it was ended for what it took.
        for process in started:
            process.communicate(timeout=20)
        assert sorted(process.returncode for process in started)[:2] == [-9, -9]


FORKS = """
import json, os, signal, time
made = []
try:
    for _ in range(200):
        child = os.fork()
        if not child:
            signal.pause()
        made.append(child)
except OSError:
    pass
print(json.dumps({"taken": len(made)}))
for child in made:
    os.kill(child, signal.SIGKILL)
"""
THREADS = """
import json, threading
stop = threading.Event()
made = 0
try:
    for _ in range(200):
        threading.Thread(target=stop.wait, daemon=True).start()
        made += 1
except RuntimeError:
    pass
print(json.dumps({"taken": made}))
stop.set()
"""


@pytest.mark.parametrize("source", [FORKS, THREADS], ids=["forks", "threads"])
def test_tasks_are_bounded(either: Machine, source: str):
    assert megabytes(either, source, either.layers) <= LIMITS.tasks


@pytest.mark.parametrize(
    "layers",
    [{"cgroup": True}, {"ids": True}, {"namespaces": True}, {"seccomp": True}],
    ids=["cgroup", "ids", "user namespace", "seccomp"],
)
def test_forks_are_bounded_by_each_layer_alone(either: Machine, layers: dict[str, bool]):
    if "namespaces" in layers and either.root:
        pytest.skip("those of root are no user namespaces")
    assert megabytes(either, FORKS, only(either, **layers)) <= LIMITS.tasks


def test_without_layers_forks_are_bounded_by_nothing_else(either: Machine):
    assert megabytes(either, FORKS, Layers()) == 200


def test_limits_cannot_be_raised_again(either: Machine):
    either.ask("""
import resource
for name in ("DATA", "FSIZE", "NOFILE", "STACK", "MEMLOCK", "NPROC", "CORE", "MSGQUEUE"):
    number = getattr(resource, f"RLIMIT_{name}")
    _, hard = resource.getrlimit(number)
    assert hard != resource.RLIM_INFINITY, name
    try:
        resource.setrlimit(number, (hard, hard + 1))
    except (ValueError, OSError):
        continue
    raise AssertionError(name)
""")

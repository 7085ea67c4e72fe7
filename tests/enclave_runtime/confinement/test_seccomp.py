"""The system call filter: its program, run as the kernel runs it, and what it refuses in a process."""

from __future__ import annotations

import itertools
import signal
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.confinement import seccomp
from enclave_runtime.confinement.layers import Layers
from enclave_runtime.confinement.seccomp import Rules

if TYPE_CHECKING:
    from tests.enclave_runtime.confinement.conftest import Machine

MACHINES = ["x86_64", "aarch64"]
STRICT = Rules(private=False, signals_inside=False, one_process=True, sockets=False)
LENIENT = Rules(private=True, signals_inside=True, one_process=False, sockets=True)
ALLOW, REFUSE, IGNORE, UNKNOWN, KILL = (
    seccomp._ALLOW, seccomp._REFUSE, seccomp._IGNORE, seccomp._UNKNOWN, seccomp._KILL,
)  # fmt: skip


class Filter:
    """A filter for a processor; `outcome` is what it says of a call."""

    def __init__(self, machine: str, rules: Rules) -> None:
        self.column = MACHINES.index(machine)
        self.arch = seccomp._AUDIT_ARCH[machine]
        self.program = seccomp._program(machine, rules, own_pid=7)

    def outcome(self, numbers: tuple[int | None, ...], *arguments: int) -> int:
        number = numbers[self.column]
        assert number is not None
        return self.run(self.arch, number, arguments)

    def run(self, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
        words = {seccomp._NUMBER_AT: number, seccomp._ARCH_AT: arch}
        for index, argument in enumerate((*arguments, *[0] * (6 - len(arguments)))):
            words[seccomp._ARGUMENTS_AT + 8 * index] = argument & 0xFFFFFFFF
            words[seccomp._ARGUMENTS_AT + 8 * index + 4] = argument >> 32 & 0xFFFFFFFF
        index, loaded = 0, 0
        while True:
            code, if_true, if_false, operand = self.program[index]
            index += 1
            match code:
                case seccomp._LOAD:
                    loaded = words[operand]
                case seccomp._AND:
                    loaded &= operand
                case seccomp._RETURN:
                    return operand
                case seccomp._EQUAL:
                    index += if_true if loaded == operand else if_false
                case seccomp._AT_LEAST:
                    index += if_true if loaded >= operand else if_false
                case seccomp._ANY_BIT:
                    index += if_true if loaded & operand else if_false
                case _:
                    raise AssertionError(code)


ALL_RULES = [Rules(*values) for values in itertools.product([False, True], repeat=4)]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_filter_s_jumps_stay_inside_it(machine: str):
    for rules in ALL_RULES:
        program = Filter(machine, rules).program
        assert len(program) <= 4096
        assert program[-1] == seccomp._return(ALLOW)
        for index, (_, if_true, if_false, _) in enumerate(program[:-1]):
            assert max(if_true, if_false) <= 255
            assert index + 1 + max(if_true, if_false) < len(program)


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_s_calls_end_the_process(machine: str):
    filtered = Filter(machine, LENIENT)
    foreign = {"x86_64": 0x40000003, "aarch64": 0x40000028}[machine]
    assert filtered.run(foreign, 1) == KILL
    assert filtered.run(filtered.arch, seccomp._FIRST_UNKNOWN - 1) == ALLOW
    assert filtered.run(filtered.arch, seccomp._FIRST_UNKNOWN) == UNKNOWN
    assert filtered.run(filtered.arch, 0x40000000 + 39) == UNKNOWN  # getpid, in x32


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("rules", ALL_RULES, ids=str)
def test_what_is_refused_in_any_case(machine: str, rules: Rules):
    filtered = Filter(machine, rules)
    for name, numbers in seccomp._REFUSED.items():
        if numbers[filtered.column] is not None:
            assert filtered.outcome(numbers) == REFUSE, name
    for numbers in seccomp._IGNORED.values():
        assert filtered.outcome(numbers) == IGNORE
    # No network, and no way to the machine's host.
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 40, 1 << 32 | socket.AF_INET):
        assert filtered.outcome(seccomp._SOCKET, family) == REFUSE
        assert filtered.outcome(seccomp._SOCKETPAIR, family) == REFUSE
    assert filtered.outcome(seccomp._SOCKETPAIR, socket.AF_UNIX) == ALLOW
    assert filtered.outcome(seccomp._CLONE, 0x3D0F00) == ALLOW  # As threads are made.
    for namespace in (0x20000, *(1 << bit for bit in range(25, 31))):
        assert filtered.outcome(seccomp._CLONE, namespace | signal.SIGCHLD) == REFUSE
    assert filtered.outcome(seccomp._CLONE3) == UNKNOWN
    assert [filtered.outcome(seccomp._PRLIMIT, pid) for pid in (0, 8)] == [ALLOW, REFUSE]
    assert [filtered.outcome(seccomp._SETAFFINITY, pid) for pid in (0, 8)] == [ALLOW, REFUSE]
    assert [filtered.outcome(seccomp._SETPRIORITY, *of) for of in ((0, 0), (0, 8), (1, 0), (2, 0))] == [
        ALLOW, REFUSE, REFUSE, REFUSE,
    ]  # fmt: skip
    for command in (seccomp._LEASE, seccomp._NOTIFY):
        assert filtered.outcome(seccomp._FCNTL, 3, command) == REFUSE
    assert filtered.outcome(seccomp._FCNTL, 3, 2) == filtered.outcome(seccomp._IOCTL, 3, 0x5401) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_signals_go_to_itself_only_where_nothing_else_keeps_them(machine: str):
    filtered, kept = Filter(machine, STRICT), Filter(machine, replace(STRICT, signals_inside=True))
    for call in seccomp._KILL_CALLS:
        assert [filtered.outcome(call, pid) for pid in (7, 8, 0xFFFFFFFF)] == [ALLOW, REFUSE, REFUSE]
        assert kept.outcome(call, 8) == ALLOW
    for call in seccomp._OTHER_SIGNALS:
        assert (filtered.outcome(call), kept.outcome(call)) == (REFUSE, ALLOW)
    for call, command in ((seccomp._FCNTL, 8), (seccomp._IOCTL, 0x8902)):
        assert (filtered.outcome(call, 3, command), kept.outcome(call, 3, command)) == (REFUSE, ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_one_process_makes_no_others_and_no_memory_that_is_not_counted(machine: str):
    filtered, free = Filter(machine, STRICT), Filter(machine, replace(STRICT, one_process=False))
    assert (filtered.outcome(seccomp._CLONE, signal.SIGCHLD), free.outcome(seccomp._CLONE, signal.SIGCHLD)) == (
        REFUSE, ALLOW,
    )  # fmt: skip
    if machine == "x86_64":
        for call in (seccomp._FORK, seccomp._VFORK):
            assert (filtered.outcome(call), free.outcome(call)) == (REFUSE, ALLOW)
    assert (filtered.outcome(seccomp._MEMFD), free.outcome(seccomp._MEMFD)) == (REFUSE, ALLOW)
    private, shared, validated, of_a_file = 0x22, 0x21, 0x23, 0x01
    for flags, outcome in ((private, ALLOW), (shared, REFUSE), (validated, REFUSE), (of_a_file, ALLOW)):
        assert filtered.outcome(seccomp._MMAP, 0, 4096, 3, flags) == outcome
        assert free.outcome(seccomp._MMAP, 0, 4096, 3, flags) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_refused_only_in_common(machine: str):
    common, private = Filter(machine, STRICT), Filter(machine, replace(STRICT, private=True))
    for numbers in seccomp._REFUSED_IN_COMMON.values():
        if numbers[common.column] is not None:
            assert (common.outcome(numbers), private.outcome(numbers)) == (REFUSE, ALLOW)
    for numbers in seccomp._IGNORED_IN_COMMON.values():
        if numbers[common.column] is not None:
            assert (common.outcome(numbers), private.outcome(numbers)) == (IGNORE, ALLOW)
    low, high = 0x1000, 0x1000 << 32
    for path in (low, high):
        assert common.outcome(seccomp._UTIMENSAT, 3, path, 0) == REFUSE  # The file is then made by opening it.
        assert common.outcome(seccomp._UTIMENSAT, 3, path, low) == IGNORE
        assert common.outcome(seccomp._UTIMENSAT, 3, path, high) == IGNORE
        assert private.outcome(seccomp._UTIMENSAT, 3, path, low) == ALLOW
    assert common.outcome(seccomp._UTIMENSAT, 3, 0, low) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_unix_sockets_are_for_those_who_are_lent_one(machine: str):
    for lent, outcome in ((True, ALLOW), (False, REFUSE)):
        assert Filter(machine, replace(STRICT, sockets=lent)).outcome(seccomp._SOCKET, socket.AF_UNIX) == outcome


def test_an_unknown_processor_is_told(monkeypatch: pytest.MonkeyPatch):
    assert seccomp.unsupported() is None
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert seccomp.unsupported() == "no system call filter for riscv64"


def test_the_kernel_refuses_what_the_program_says(either: Machine):
    """In a process, with its threads and with the programs that it starts."""
    layers = replace(either.layers, namespaces=False, user_namespace=False, landlock=0, cgroup=False)
    refused = [
        numbers[MACHINES.index(_machine())] for numbers in {**seccomp._REFUSED, **seccomp._REFUSED_IN_COMMON}.values()
    ]
    either.ask(
        f"""
import ctypes, errno, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def refused():
    for number in {[number for number in refused if number is not None]}:
        assert libc.syscall(number, -1, -1, -1, -1, -1, -1) == -1
        assert ctypes.get_errno() == errno.EPERM, number
    outcomes.append("refused")
outcomes = []
refused()
thread = threading.Thread(target=refused)
thread.start()
thread.join()
assert outcomes == ["refused", "refused"]
assert [libc.syscall(number, 0, 0) for number in (463, 0x40000000 + 39)] == [-1, -1]
assert ctypes.get_errno() == errno.ENOSYS
""",
        layers,
    )


def test_a_process_with_threads_is_not_confined_in_part(machine: Machine):
    before = "import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()"
    done = machine.run("raise AssertionError('confined')", Layers(seccomp=True), before=before)
    assert "LayerUnavailable: seccomp: the process has threads already" in done.stderr


def test_root_keeps_no_capabilities_whatever_the_layers(machine: Machine):
    for layers in (machine.layers, Layers()):
        machine.ask(
            """
import os
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
assert int(status["CapBnd"], 16) == 0 or BOUNDED
assert status["NoNewPrivs"] == "1"
assert status["Seccomp"] == EXPECTED
""".replace("EXPECTED", "'2'" if layers.seccomp else "'0'").replace("BOUNDED", str(not machine.root)),
            layers,
        )


def _machine() -> str:
    import platform

    return platform.machine()

"""`blindsight up` under strace, from its start to its end: it talks to itself alone and writes to its own folder alone.

Every lane is used, a worker is killed, and every process that is ever started is followed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest
from cryptography import x509

from blindsight import Client
from blindsight.attestation.policy import Policy
from blindsight.client.cape import Host, Trust
from blindsight_cli.local_trust import environment
from tests.support import traced
from tests.support.images import plain
from tests.support.processes import workers_of
from tests.support.traced import Address, Trace
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from tests.support.models import TinyModel

REQUESTS = range(100, 300)
"""In each lane, each for its own class."""
_START_SECONDS = 120.0
_UPLOAD_SECONDS = 15.0
"""For which a worker is watched: ONNX Runtime would look for its vendor's host nine seconds after its start."""
_NAME_SERVICE = '"/var/run/nscd/socket"'
"""Where the C library asks for users' and hosts' names first, on this machine; here nothing listens."""

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Traced:
    """A stack that has ended, what it did, and where it may write."""

    trace: Trace
    home: Path
    own: tuple[Path, ...]


@dataclass(frozen=True)
class Running:
    """`blindsight up` while it runs."""

    state: Path
    url: str
    tls_url: str
    metrics_url: str
    process: psutil.Process

    def restarts(self) -> float:
        lines = httpx2.get(f"{self.metrics_url}/metrics", trust_env=False).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("enclave_worker_restarts"))


@pytest.fixture(scope="module")
def ended(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    folder = tmp_path_factory.mktemp("silence")
    traced.compile_sources()
    state, temporary, trace = folder / "state", folder / "tmp", folder / "trace"
    temporary.mkdir()
    ports = [free_port() for _ in range(3)]
    flags = [f"--{name}" for name in ("port", "tls-port", "metrics-port")]
    arguments = [text for flag, port in zip(flags, ports, strict=True) for text in (flag, str(port))]
    command = [*traced.command(trace), sys.executable, "-m", "blindsight_cli.main", "up", *arguments, "--workers", "2"]
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--state", str(state), "--model", str(colour_model.folder)],
            env={**traced.fresh_environment(folder / "home"), "TMPDIR": str(temporary)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(
            "the stack", lambda: b"Ctrl-C" in said.read_bytes() or process.poll() is not None, seconds=_START_SECONDS
        )
        assert process.poll() is None, said.read_text()
        (up,) = psutil.Process(process.pid).children()
        urls = [f"http://127.0.0.1:{ports[0]}", f"https://localhost:{ports[1]}", f"http://127.0.0.1:{ports[2]}"]
        _use(Running(state, *urls, up))
        up.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, said.read_text()
    finally:
        if process.poll() is None:
            for left in (*psutil.Process(process.pid).children(recursive=True), process):
                left.kill()
            process.wait()
    return Traced(Trace(trace.read_text()), folder / "home", (state,))


def _use(stack: Running) -> None:
    _plain(stack)
    _kill_a_worker(stack)
    replaced = time.monotonic()
    _sealed(stack)
    _cape(stack)
    while time.monotonic() < replaced + _UPLOAD_SECONDS:
        _plain(stack)


def _plain(stack: Running) -> None:
    with httpx2.Client(base_url=stack.url, trust_env=False, timeout=60) as client:
        for number in REQUESTS:
            answer = client.post("/classify", content=plain(number), headers={"content-type": "image/png"})
            assert answer.json()["predictions"][0]["class_id"] == number


def _sealed(stack: Running) -> None:
    with Client(stack.url, policy=Policy.load(stack.state / "policy.json")) as client:
        for number in REQUESTS:
            assert client.classify(plain(number)).predictions[0].class_id == number


def _cape(stack: Running) -> None:
    root = (stack.state / "enclave" / "simulated_root.pem").read_bytes()
    trust = Trust(x509.load_pem_x509_certificate(root[root.index(b"-----BEGIN") :]))
    token = (environment.config_folder(stack.state) / "token").read_text()
    with Host(stack.tls_url, insecure=True).connect("/v1/run/local/classifier", token, trust) as connection:
        for number in REQUESTS:
            assert f"shade-{number:03}" in next(iter(connection.run(plain(number)).output.decode().split(",")))


def _kill_a_worker(stack: Running) -> None:
    before = stack.restarts()
    (runtime,) = (
        each for each in stack.process.children(recursive=True)
        if each.status() != psutil.STATUS_ZOMBIE and "enclave_runtime.commands" in each.cmdline()
        and "strace" not in each.name()
    )  # fmt: skip
    workers_of(runtime)[0].kill()
    wait_until("the worker's replacement", lambda: stack.restarts() > before)


def test_no_file_is_touched_but_its_own(ended: Traced) -> None:
    changed = ended.trace.changed()
    memory = {path for path in changed if path.startswith("/dev/shm/")}
    foreign = traced.outside(changed - memory, *ended.own, os.devnull)
    # Control groups are the kernel's; a function's socket is bound in its folder in memory, by descriptor.
    kernels = re.compile(r"/sys/fs/cgroup/.*/blindsight-[^/]+(/.*)?|/proc/self/fd/\d+/rpc\.sock")
    assert [path for path in foreign if not kernels.fullmatch(path)] == []
    assert list(ended.home.iterdir()) == []
    # In memory, the functions' folders, and unnamed files for what is being received. All are gone.
    assert {re.sub(r"-.*|#.*", "", Path(path).parts[3]) for path in memory} <= {"blindsight", "run", ""}
    assert not [path for path in memory if "/.cache" in path or Path(path).exists()]


def test_no_address_is_talked_to_but_its_own(ended: Traced) -> None:
    addresses = ended.trace.addresses()
    ports = {address.port for address in addresses if address.call == "bind"}
    foreign = [address for address in addresses if not _own(address, ports)]
    assert foreign == []
    assert ended.trace.families() <= {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}


def _own(address: Address, ports: set[int]) -> bool:
    if address.family == "AF_NETLINK":  # The C library asks the kernel for this machine's own addresses.
        return True
    if address.family == "AF_UNIX":
        # A user id or a port that is taken has a name among the machine's abstract sockets, so that no other stack
        # takes it.
        own = address.path.endswith('/rpc.sock"') or address.path.startswith(
            ('@"blindsight-user-', '@"blindsight-port-')
        )
        return address.path == _NAME_SERVICE or (address.call == "bind" and own)
    return bool(address.host) and ipaddress.ip_address(address.host).is_loopback and address.port in ports

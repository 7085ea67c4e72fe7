"""An enclave and its gateway, from a model directory to a working service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release
from enclave_function.bundle import build
from tests.support.processes import Enclave, Gateway, environment
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Server


@dataclass(frozen=True)
class Measured:
    """What evidence will say about a bundle on this runtime."""

    pcrs: dict[int, str]
    function_checksum: str
    model_digest: str


_MEASURED: dict[tuple[str, str], Measured] = {}
"""What was asked before, by the bundle's digest and the variant: the runtime does not change during a run."""


def measure(bundle: Path, folder: Path, variant: str = "cape") -> Measured:
    """Ask `python -m enclave_runtime measure`, once for the same bundle."""
    asked = sha256(bundle.read_bytes()).hexdigest(), variant
    if asked not in _MEASURED:
        _MEASURED[asked] = _measure(bundle, folder, variant)
    return _MEASURED[asked]


def _measure(bundle: Path, folder: Path, variant: str) -> Measured:
    command = [sys.executable, "-m", "enclave_runtime", "measure", "--bundle", str(bundle), "--variant", variant]
    done = subprocess.run(command, capture_output=True, check=True, cwd=folder, env=environment(folder))
    fields = json.loads(done.stdout)
    pcrs = {int(index): value for index, value in fields["pcrs"].items()}
    return Measured(pcrs, fields["function_checksum"], fields["model_digest"])


def root_fingerprint(state: Path) -> str:
    """SHA-256 of the simulated root's certificate."""
    pem = (state / "simulated_root.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    return certificate.fingerprint(hashes.SHA256()).hex()


class Stack:
    """A bundle, its policy, an enclave that runs it and a gateway before that.

    With `cape` it hosts Cape functions, too, with open registration. The policy pins the root, PCR 0, 1, 2 and 16,
    the function and the model.
    """

    variant = "cape"
    """Of the enclave."""

    user: int | None = None
    """Whose process the enclave is, instead of the tests' own user; he must be able to enter the stack's folder."""

    def __init__(self, model: Path, folder: Path, *, workers: int = 2, cape: bool = False, **settings: object) -> None:
        """`settings` are the gateway's."""
        self.folder = folder
        host: dict[str, object] = {}
        if cape:
            files = {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles"}
            host = {**files, "open_signup": True}
        self.settings: dict[str, object] = {**host, **settings}
        self.state = folder / "state"
        self.policy_file = folder / "policy.json"
        self.bundle = folder / "bundle.zip"
        self.workers = workers
        self.enclave_port = free_port()
        self._servers: list[Server] = []
        if self.user is not None:
            self.state.mkdir()
            os.chown(self.state, self.user, self.user)
        build(model, self.bundle)
        self.measured = measure(self.bundle, folder, self.variant)
        try:
            self._start()
        except BaseException:
            self._kill_what_is_left()
            raise

    def _start(self) -> None:
        self.enclave = self.start_enclave()
        self.enclave.wait_warm()  # Its root exists from here on.
        release = Release(
            kind="simulated",
            roots=frozenset({root_fingerprint(self.state)}),
            pcrs={index: frozenset({self.measured.pcrs[index]}) for index in (0, 1, 2, 16)},
            function_checksums=frozenset({self.measured.function_checksum}),
            model_digests=frozenset({self.measured.model_digest}),
        )
        self.policy = Policy(releases=(release,))
        self.policy_file.write_text(self.policy.to_json())
        self.gateway = self.start_gateway()
        self.gateway.wait_ready()
        self.client = self.gateway.client

    def start_enclave(
        self, bundle: Path | None = None, state: Path | None = None, *, kind: type[Enclave] = Enclave, **options: Any
    ) -> Enclave:
        """Start an enclave on the stack's port, by default the stack's own; the caller waits and stops."""
        options = {
            "port": self.enclave_port,
            "workers": self.workers,
            "variant": self.variant,
            "user": self.user,
            **options,
        }
        if state is not None:
            options.setdefault("gateway_secret", self.state / "gateway_secret")
        enclave = kind(bundle or self.bundle, state or self.state, self._folder("enclave"), **options)
        self._servers.append(enclave)
        return enclave

    def start_gateway(self, **settings: object) -> Gateway:
        """Start a gateway before the stack's enclave, without what is None; the caller waits and stops."""
        ours = {
            "policy": self.policy_file,
            "enclave": loopback(self.enclave_port),
            "enclave_secret_file": self.state / "gateway_secret",
        }
        wanted = {**ours, **self.settings, **settings}
        gateway = Gateway(self._folder("gateway"), {name: value for name, value in wanted.items() if value is not None})
        self._servers.append(gateway)
        return gateway

    def _folder(self, name: str) -> Path:
        return self.folder / f"{name}-{len(self._servers) + 1}"

    @contextmanager
    def another_gateway(self, *, ready: bool = True, **settings: object) -> Iterator[Gateway]:
        """A further gateway before the stack's enclave, for as long as the block lasts."""
        gateway = self.start_gateway(**settings)
        try:
            if ready:
                gateway.wait_ready()
            yield gateway
        except BaseException:
            gateway.kill()
            raise
        gateway.stop()

    def logs(self) -> str:
        """Everything that any of the stack's processes has logged."""
        return "\n".join(path.read_text(errors="replace") for path in self.folder.glob("*/log"))

    def stop(self) -> None:
        """Stop gateway and enclave and check that both end well."""
        try:
            self.gateway.stop()
            self.enclave.stop()
        finally:
            self._kill_what_is_left()

    def _kill_what_is_left(self) -> None:
        """A failed test may have left a server running."""
        for server in self._servers:
            if server.running:
                server.kill()


@contextmanager
def running_stack(
    model: Path, folder: Path, *, workers: int = 2, cape: bool = False, **settings: object
) -> Iterator[Stack]:
    """A stack for as long as the block lasts; with `cape` it is a Cape host, too. `settings` are its gateway's."""
    stack = Stack(model, folder, workers=workers, cape=cape, **settings)
    try:
        yield stack
    finally:
        stack.stop()

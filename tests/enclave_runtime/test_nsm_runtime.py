"""The whole runtime on a security module: what it attests, and when it refuses to start."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from blindsight import Client
from blindsight.attestation import Policy, Release, expected_pcr16
from enclave_function.bundle import build
from tests.support.fake_nsm import TestRoot
from tests.support.images import plain
from tests.support.processes import Enclave, Gateway, environment
from tests.support.stack import measure
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden
    from tests.support.models import TinyModel

CLASS = 314


class NsmEnclave(Enclave):
    module = "tests.support.nsm_runtime"


@dataclasses.dataclass
class NsmStack:
    """An enclave on a security module of the tests, and a gateway whose policy has that module's root."""

    root: TestRoot
    bundle: Path
    enclave: Enclave
    gateway: Gateway
    policy: Policy


@pytest.fixture(scope="module")
def bundle(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bundle") / "function.zip"
    build(colour_model.folder, file)
    return file


@pytest.fixture(scope="module")
def stack(bundle: Path, warden: Warden, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NsmStack]:
    if warden.gaps:
        pytest.skip(f"on hardware the runtime asks for all of the confinement, which lacks here: {warden.gaps}")
    folder = tmp_path_factory.mktemp("nsm")
    root = TestRoot()
    (folder / "enclave").mkdir()
    (folder / "enclave" / "nsm-root.pem").write_bytes(root.pem)
    measured = measure(bundle, folder)
    pcr16 = expected_pcr16(bytes.fromhex(measured.function_checksum), bytes.fromhex(measured.model_digest)).hex()
    pcrs = {index: frozenset({(bytes([index + 1]) * 48).hex()}) for index in range(3)} | {16: frozenset({pcr16})}
    policy = Policy(releases=(Release(kind="nitro", roots=frozenset({root.fingerprint}), pcrs=pcrs),))
    (folder / "policy.json").write_text(policy.to_json())
    port = free_port()
    enclave = NsmEnclave(bundle, folder / "state", folder / "enclave", port=port, workers=1, evidence="nsm")
    settings = {
        "policy": folder / "policy.json",
        "enclave": loopback(port),
        "enclave_secret_file": folder / "state" / "gateway_secret",
    }
    gateway = None
    try:
        enclave.wait_warm()
        gateway = Gateway(folder / "gateway", settings)
        gateway.wait_ready()
        yield NsmStack(root, bundle, enclave, gateway, policy)
        gateway.stop()
        enclave.stop()
    finally:
        for server in (gateway, enclave):
            if server is not None and server.running:
                server.kill()


def test_its_evidence_is_genuine_under_a_policy_with_the_modules_root(stack: NsmStack):
    with Client(stack.gateway.url, policy=stack.policy) as client:
        answer = client.classify(plain(CLASS), with_receipt=True)
    assert answer.predictions[0].class_id == CLASS
    assert answer.report.kind == "nitro"
    assert answer.notices == ()
    assert stack.gateway.client.get("/attestation").json()["kind"] == "nitro"


def test_cape_functions_evidence_is_the_modules_too(stack: NsmStack):
    """The status names what confines them, and nothing is missing."""
    assert stack.enclave.status()["confinement"]["gaps"] == []


def test_it_measures_no_files_and_keeps_no_root(stack: NsmStack):
    state = stack.enclave.secret_file.parent
    assert {file.name for file in state.iterdir()} == {"gateway_secret", "root_secret"}
    (listening,) = [event for event in stack.enclave.events() if event["event"] == "listening"]
    assert listening["evidence"] == "nsm"


def refused(folder: Path, bundle: Path, *options: str, module: str = "enclave_runtime") -> str:
    """The one line that a start which is refused leaves, on standard error beside the log."""
    arguments = ["serve", "--bundle", str(bundle), "--state", str(folder / "state"), "--listen", loopback(free_port())]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--evidence", "nsm", *options],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return line


def test_where_there_is_no_device_it_refuses(bundle: Path, tmp_path: Path):
    """This machine has none; a simulation does not take its place."""
    line = refused(tmp_path, bundle)
    assert line.startswith("enclave_runtime: /dev/nsm cannot be opened: ")
    assert "--evidence simulated" in line


def test_a_boot_in_which_a_runtime_has_run_starts_no_other(bundle: Path, tmp_path: Path):
    (tmp_path / "nsm-root.pem").write_bytes(TestRoot().pem)
    (tmp_path / "nsm-used").touch()
    assert "PCR 16 is extended" in refused(tmp_path, bundle, module="tests.support.nsm_runtime")


def test_a_gap_in_the_confinement_is_refused_unasked(bundle: Path, tmp_path: Path):
    """Only a simulation goes on with one."""
    (tmp_path / "nsm-root.pem").write_bytes(TestRoot().pem)
    line = refused(tmp_path, bundle, "--without-layer", "namespaces", module="tests.support.nsm_runtime")
    assert "Untrusted code cannot be confined here" in line

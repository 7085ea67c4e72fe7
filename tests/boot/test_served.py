"""The image, booted in QEMU's emulation of an enclave, behind a gateway: it attests and classifies.

What that shows and what not: code, wiring and measurements are those of the image; the evidence is unsigned, the kernel
is not AWS's, and an emulated processor says nothing of speed.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight import eif, release_file
from blindsight.attestation import Policy, verify
from blindsight.attestation.claims import expected_pcr16
from blindsight.errors import EvidenceError
from tests.support.nitro_machine import NitroMachine, Tools
from tests.support.processes import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.boot.conftest import Built

REPOSITORY = Path(__file__).resolve().parents[2]
SAYS = "EMULATED ENCLAVE (QEMU)"
WARM_SECONDS = 300.0
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Served:
    machine: NitroMachine
    gateway: Gateway
    policy: Policy
    folder: Path
    report: Path


def _policy(built: Built, *options: str) -> Policy:
    """What the operator's command makes of the image."""
    command = [sys.executable, "-m", "blindsight_cli.main", "eif", "policy", str(built.image), *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Policy.from_json(done.stdout)


@pytest.fixture(scope="module")
def served(tools: Tools, built: Built, artefacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    report = artefacts / "boot-report.txt"
    policy = _policy(built, "--machine", "qemu")
    (folder / "policy.json").write_text(policy.to_json())
    machine = NitroMachine(tools, built.image, folder / "machine", memory="2G")
    try:
        with machine:
            lines = [f"image {built.description['image']['bytes']} bytes, tries {machine.tries}"]
            for text in ("Run /init", "starts the runtime", '"event": "listening"', '"event": "warm"'):
                lines.append(f"{machine.wait_for(text, seconds=WARM_SECONDS):6.1f} s  {text}")
            settings = {"policy": folder / "policy.json", "enclave": f"unix://{machine.socket}?port=7500"}
            gateway = Gateway(folder / "gateway", settings | {"deadline": DEADLINE_SECONDS})
            try:
                gateway.wait_ready()
                lines.append(f"{time.monotonic() - machine.began:6.1f} s  the gateway has verified it")
                report.write_text("\n".join(lines) + "\n")
                yield Served(machine, gateway, policy, folder, report)
            finally:
                gateway.kill()
    finally:
        with report.open("a") as file:
            file.write(f"QEMU's memory at most {machine.largest / 2**20:.0f} MiB\n")
        (artefacts / "boot-console.log").write_text(machine.log())


def test_the_dog_is_a_golden_retriever(served: Served, assets: Path) -> None:
    with (assets / "images" / "dog.jpeg").open("rb") as file:
        began = time.monotonic()
        answer = served.gateway.client.post("/classify", files={"file": file}, timeout=DEADLINE_SECONDS).json()
    with served.report.open("a") as report:
        report.write(f"{time.monotonic() - began:6.1f} s  for the photo: {answer['predictions'][0]}\n")
    served.machine.measure()
    assert answer["predictions"][0]["label"] == "golden retriever"
    assert answer["predictions"][0]["score"] > 0.9
    assert SAYS in str(answer), "every answer says that the evidence proves nothing"


def _document(served: Served, nonce: bytes) -> bytes:
    parameters = {"nonce": base64.urlsafe_b64encode(nonce).decode().rstrip("=")}
    answer = served.gateway.client.get("/attestation", params=parameters).json()
    return base64.b64decode(answer["document"])


def test_the_registers_are_those_of_the_file(served: Served, built: Built) -> None:
    nonce = b"of this test, and no other one"
    verified = verify(_document(served, nonce), policy=served.policy, nonce=nonce, now=datetime.now(UTC))
    with built.image.open("rb") as file:
        measured = eif.measure(eif.Image.read(file)).registers
    assert {index: verified.document.pcrs[index] for index in (0, 1, 2)} == {
        index: measured[index] for index in (0, 1, 2)
    }
    assert verified.report.notice.startswith(SAYS)


def test_a_release_of_the_image_pins_what_the_machine_attests(served: Served, built: Built, tmp_path: Path) -> None:
    """`release make` measures the file by itself; its policy is the one that callers get."""
    out = tmp_path / "release"
    command = [sys.executable, "-m", "release_build", "make", "--out", str(out), "--bundle", str(built.bundle)]
    command += ["--eif", str(built.image), "--emulated"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    release = release_file.load(out / "release.json")
    assert release.policy is not None
    nonce = b"of this test, and no other one"
    verified = verify(_document(served, nonce), policy=release.policy, nonce=nonce, now=datetime.now(UTC))
    [measurement] = [each for each in release.measurements if each.kind == "qemu-nitro-enclave"]
    assert measurement.pcrs == {index: verified.document.pcrs[index].hex() for index in measurement.pcrs}
    assert {0, 1, 2, 16} <= set(measurement.pcrs)


def test_production_policies_refuse_it(served: Served, built: Built) -> None:
    nonce = b"of this test, and no other one"
    production = _policy(built)
    assert {release.kind for release in production.releases} == {"nitro"}
    simulated = replace(served.policy.releases[0], kind="simulated", roots=frozenset({"ab" * 32}))
    for policy in (production, Policy(releases=(simulated,))):
        with pytest.raises(EvidenceError) as refused:
            verify(_document(served, nonce), policy=policy, nonce=nonce, now=datetime.now(UTC))
        assert refused.value.code == "wrong_algorithm"


def test_the_document_lists_what_the_runtime_extended(served: Served, built: Built) -> None:
    nonce = b"of this test, and no other one"
    verified = verify(_document(served, nonce), policy=served.policy, nonce=nonce, now=datetime.now(UTC))
    function, model = built.function.checksum, built.function.model.digest
    assert verified.document.pcrs[16] == expected_pcr16(bytes.fromhex(function), bytes.fromhex(model))


def test_nothing_of_confinement_is_missing(served: Served) -> None:
    """The runtime was started with --require-confinement; what it says of itself agrees."""
    answer = served.gateway.client.get("/info").json()
    confinement = answer["confinement"]
    assert confinement["gaps"] == []
    assert set(confinement["layers"]) == {"user ids", "namespaces", "cgroup", "landlock", "seccomp"}


def test_init_said_what_it_did(served: Served) -> None:
    log = served.machine.log()
    assert "init: Linux 6.12.117+deb12-cloud-amd64, 8 file systems" in log
    assert "init: modules: virtio_mmio.ko" in log
    assert "init: heartbeat: " in log


def test_a_report_of_it_can_be_made_and_verified(served: Served, artefacts: Path, assets: Path) -> None:
    """`hardware-report`, as on a rented host; what it says of this machine is that it proves nothing."""
    policy, report = served.folder / "policy.json", artefacts / "hardware-report.json"
    report.unlink(missing_ok=True)
    for arguments in (
        ["make", "--out", str(report), "--url", served.gateway.url, "--policy", str(policy), "--requests", "1",
         "--photo", str(assets / "images" / "dog.jpeg")],
        ["verify", str(report), "--policy", str(policy)],
    ):  # fmt: skip
        command = [sys.executable, "-m", "blindsight_cli.main", "hardware-report", *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "EMULATED" in done.stdout + done.stderr
    assert "golden retriever" in report.read_text()
    # Both are what docs/hardware publishes.
    report.with_suffix(".policy.json").write_bytes(policy.read_bytes())

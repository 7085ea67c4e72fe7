"""The image, booted in QEMU's emulation of an enclave, behind a gateway: it attests and classifies.

What that shows and what not: code, wiring and measurements are those of the image; the evidence is unsigned, the kernel
is not AWS's, and an emulated processor says nothing of speed.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from blindsight import eif
from blindsight.attestation import Policy, Release, verify
from blindsight.attestation.claims import expected_pcr16
from blindsight.errors import EvidenceError
from tests.support.nitro_machine import NitroMachine, Tools
from tests.support.processes import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.boot.conftest import Built

KIND = "qemu-nitro-enclave"
SAYS = "EMULATED ENCLAVE (QEMU)"
WARM_SECONDS = 300.0
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Served:
    machine: NitroMachine
    gateway: Gateway
    policy: Policy
    report: Path


def _release(built: Built, kind: Any, **fields: Any) -> Release:
    registers = {int(index): frozenset({value}) for index, value in built.description["pcrs"].items()}
    function, model = built.function.checksum, built.function.model.digest
    registers[16] = frozenset({expected_pcr16(bytes.fromhex(function), bytes.fromhex(model)).hex()})
    return Release(
        kind=kind, name="booted", version="1.0.0", pcrs=registers,
        function_checksums=frozenset({function}), model_digests=frozenset({model}), **fields,
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(tools: Tools, built: Built, artefacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    report = artefacts / "boot-report.txt"
    policy = Policy(releases=(_release(built, KIND),))
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
                yield Served(machine, gateway, policy, report)
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
    assert {index: verified.pcrs[index] for index in (0, 1, 2)} == {index: measured[index] for index in (0, 1, 2)}
    assert verified.report.notice.startswith(SAYS)


@pytest.mark.parametrize("kind", ["nitro", "simulated"])
def test_every_other_policy_refuses_it(served: Served, built: Built, kind: str) -> None:
    nonce = b"of this test, and no other one"
    fields = {"roots": frozenset({"0" * 64})} if kind == "simulated" else {}
    policy = Policy(releases=(_release(built, kind, **fields),))
    with pytest.raises(EvidenceError) as refused:
        verify(_document(served, nonce), policy=policy, nonce=nonce, now=datetime.now(UTC))
    assert refused.value.code == "wrong_algorithm"


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

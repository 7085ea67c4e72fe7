"""A pinned policy refuses every other enclave, and takes the right one back without a restart."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import blindsight
from enclave_function.bundle import build
from tests.support.images import plain
from tests.support.models import write_colour_model, write_manifest
from tests.support.problems import check
from tests.support.processes import environment
from tests.support.stack import measure, running_stack
from tests.support.waiting import wait_until
from tests.support.zips import with_changed_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel
    from tests.support.processes import Gateway
    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose enclave may be stopped, as long as the right one runs again at the end of a test."""
    with running_stack(colour_model.folder, tmp_path_factory.mktemp("pinned-stack"), workers=1) as stack:
        yield stack


def code_of(gateway: Gateway) -> str:
    answer = gateway.client.get("/readyz")
    return "ready" if answer.status_code == 200 else str(answer.json()["code"])


def expect_refusal(stack: Stack, evidence_code: str) -> None:
    """The gateway refuses what listens on the enclave's port now, and serves again once the right enclave is back."""
    wait_until("refused", lambda: code_of(stack.gateway) == "evidence_refused")
    problem = check(stack.client.get("/readyz"), "evidence_refused")
    assert problem["evidence_code"] == evidence_code
    check(stack.client.post("/classify", files={"file": plain(1)}), "evidence_refused")


def expect_recovery(stack: Stack) -> None:
    stack.enclave = stack.start_enclave()
    stack.enclave.wait_warm()  # Until the gateway looks again, it may still think well of the one before.
    wait_until("ready again", lambda: code_of(stack.gateway) == "ready")
    wait_until("answered", lambda: stack.client.post("/classify", files={"file": plain(77)}).status_code == 200)
    answer = stack.client.post("/classify", files={"file": plain(77)})
    assert answer.json()["predictions"][0]["class_id"] == 77


def test_changed_code_is_refused(stack: Stack, tmp_path: Path) -> None:
    changed = with_changed_code(stack.bundle, tmp_path / "changed.zip")
    measured = measure(changed, tmp_path)
    assert measured.function_checksum != stack.measured.function_checksum
    assert measured.pcrs[16] != stack.measured.pcrs[16]
    assert measured.model_digest == stack.measured.model_digest
    assert [measured.pcrs[index] for index in (0, 1, 2)] == [stack.measured.pcrs[index] for index in (0, 1, 2)]
    stack.enclave.stop()
    impostor = stack.start_enclave(changed)
    expect_refusal(stack, "pcr_mismatch")
    impostor.stop()
    expect_recovery(stack)


def test_a_changed_model_is_refused(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "other-model"
    folder.mkdir()
    model = write_colour_model(folder)
    graph = next(folder.glob("*.onnx"))
    content = bytearray(graph.read_bytes())
    at = content.index(model.bias.tobytes()[:16])
    content[at] ^= 1  # The lowest bit of one weight.
    graph.write_bytes(content)
    write_manifest(folder, graph.name, "labels.txt")
    changed = tmp_path / "changed.zip"
    build(folder, changed)
    measured = measure(changed, tmp_path)
    assert measured.function_checksum != stack.measured.function_checksum
    assert measured.model_digest != stack.measured.model_digest
    assert measured.pcrs[16] != stack.measured.pcrs[16]
    stack.enclave.stop()
    impostor = stack.start_enclave(changed)
    expect_refusal(stack, "pcr_mismatch")
    impostor.stop()
    expect_recovery(stack)


def test_another_root_is_refused(stack: Stack, tmp_path: Path) -> None:
    stack.enclave.stop()
    impostor = stack.start_enclave(state=tmp_path / "other-state")
    expect_refusal(stack, "root_not_pinned")
    impostor.stop()
    expect_recovery(stack)


def test_a_restarted_enclave_has_new_keys_and_is_served(stack: Stack) -> None:
    before = stack.client.get("/attestation").json()["key_configs"]
    stack.enclave.kill()
    wait_until("not ready", lambda: code_of(stack.gateway) == "enclave_unavailable")
    expect_recovery(stack)
    assert stack.client.get("/attestation").json()["key_configs"] != before


def test_a_runtime_refuses_a_bundle_that_is_not_the_one_asked_for(stack: Stack, tmp_path: Path) -> None:
    changed = with_changed_code(stack.bundle, tmp_path / "changed.zip")
    enclave = stack.start_enclave(changed, function_checksum=stack.measured.function_checksum)
    assert enclave.process.wait(30) == 1
    assert "the bundle's checksum is" in enclave.log()
    assert "Traceback" not in enclave.log()


def test_one_changed_byte_of_the_runtime_changes_pcr_0_and_2_alone(stack: Stack, tmp_path: Path) -> None:
    """Measured in a copy of the runtime, with a space more in one file."""
    repository = Path(blindsight.__file__).parents[1]
    copy = tmp_path / "copy"
    copy.mkdir()
    for package in ("blindsight", "enclave_runtime"):
        shutil.copytree(repository / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))

    def pcrs() -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "enclave_runtime", "measure", "--bundle", str(stack.bundle)],
            cwd=copy, env={**environment(tmp_path), "PYTHONPATH": str(copy)}, capture_output=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)["pcrs"]

    before = pcrs()
    assert before["2"] == stack.measured.pcrs[2]
    with (copy / "enclave_runtime" / "keys.py").open("a") as file:
        file.write(" ")
    after = pcrs()
    assert {index for index in before if before[index] != after[index]} == {"0", "2"}

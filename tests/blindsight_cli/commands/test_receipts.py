"""`blindsight classify --receipts`, `blindsight receipt verify` and `blindsight attest diff` as a user runs them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from blindsight_cli import statelock
from tests.blindsight_cli.commands.conftest import CLASS
from tests.support.command import blindsight
from tests.support.images import plain
from tests.support.misspelt import misspelt
from tests.support.models import label_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_kept_receipt_is_not_written_over(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    classify = ["classify", "--url", tiny_stack.gateway.url, "--receipts", "kept", photo, photo]
    done = blindsight(tmp_path, *classify)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "photo.png.receipt.json",
        "photo.png.2.receipt.json",
    }
    assert "kept as kept/photo.png.2.receipt.json" in done.stderr


def test_a_folder_that_holds_no_receipts_is_refused_before_a_photo_is_sent(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in ("file", "file/below", "/proc/x"):
        done = blindsight(tmp_path, "classify", "--url", "http://127.0.0.1:9", "--receipts", folder, photo)
        assert done.returncode == 1
        assert f"{folder} cannot hold receipts" in done.stderr
        assert "next:" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_answer_whose_receipt_cannot_be_kept_is_shown(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    long = photo.rename(tmp_path / f"{'a' * 240}.png")
    other = tmp_path / "other.png"
    other.write_bytes(plain(CLASS))
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "--receipts", "kept", long, other)
    assert done.returncode == 1
    assert done.stdout.count(label_of(CLASS)) == 2
    assert "1 receipts could not be kept" in done.stderr
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["other.png.receipt.json"]


def test_what_no_signature_covers_is_named(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    assert (
        blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "--receipts", "kept", photo).returncode == 0
    )
    kept = tmp_path / "kept" / "photo.png.receipt.json"
    done = blindsight(tmp_path, "receipt", "verify", "--policy", tiny_stack.policy_file, kept)
    (line,) = [line for line in done.stdout.splitlines() if "not signed" in line]
    assert {"enclave", "request_id", "timings_ms", "notice"} <= set(line.partition(": ")[2].split(", "))


@pytest.mark.parametrize("lane", [["--sealed"], []], ids=["sealed", "plain"])
def test_a_receipt_is_kept_and_verified_offline(
    tiny_stack: Stack, photo: Path, tmp_path: Path, lane: list[str]
) -> None:
    policy = ["--policy", tiny_stack.policy_file]
    done = blindsight(
        tmp_path, "classify", *lane, *(policy if lane else []), "--url", tiny_stack.gateway.url, "--receipts", "kept",
        photo,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert label_of(CLASS) in done.stdout
    kept = tmp_path / "kept" / "photo.png.receipt.json"

    done = blindsight(tmp_path, "receipt", "verify", *policy, kept, "--photo", photo)
    assert done.returncode == 0, done.stderr
    assert "this enclave gave this answer" in done.stdout
    assert "is the one that was sent" in done.stdout
    assert tiny_stack.measured.function_checksum in done.stdout
    assert "SIMULATED" in done.stderr

    report = json.loads(blindsight(tmp_path, "receipt", "verify", *policy, kept, "--json").stdout)
    assert report["receipt"]["model_sha256"] == tiny_stack.measured.model_digest
    assert report["photo_checked"] is False

    lenient = json.loads(tiny_stack.policy_file.read_text())
    (release,) = lenient["releases"]
    del release["function_checksums"], release["pcrs"]["16"]
    (tmp_path / "lenient.json").write_text(json.dumps(lenient))
    done = blindsight(tmp_path, "receipt", "verify", "--policy", tmp_path / "lenient.json", kept)
    assert (done.returncode, "[function_not_pinned]" in done.stderr) == (1, True)
    release["any_function"] = True
    (tmp_path / "lenient.json").write_text(json.dumps(lenient))
    done = blindsight(tmp_path, "receipt", "verify", "--policy", tmp_path / "lenient.json", kept)
    assert done.returncode == 0, done.stderr
    assert "POLICY LEAVES OPEN: the function" in done.stdout
    assert "POLICY LEAVES OPEN: the function" in done.stderr

    answer = json.loads(kept.read_text())
    answer["predictions"][0]["label"] = "something else"
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(answer))
    done = blindsight(tmp_path, "receipt", "verify", *policy, altered)
    assert done.returncode == 1
    assert "[receipt_output_mismatch]" in done.stderr
    assert done.stdout == ""

    other = tmp_path / "other.png"
    other.write_bytes(plain(CLASS + 1))
    done = blindsight(tmp_path, "receipt", "verify", *policy, kept, "--photo", other)
    assert (done.returncode, "[receipt_input_mismatch]" in done.stderr) == (1, True)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"5", b"[" * 100_000, None], ids=repr)
def test_what_is_no_answer(tiny_stack: Stack, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "answer.json"
    if content is not None:
        file.write_bytes(content)
    done = blindsight(tmp_path, "receipt", "verify", "--policy", tiny_stack.policy_file, file)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "next"]


def test_two_documents_of_one_enclave(tiny_stack: Stack, tmp_path: Path) -> None:
    policy = ["--policy", tiny_stack.policy_file]
    for name in ("first", "second"):
        done = blindsight(tmp_path, "attest", tiny_stack.gateway.url, *policy, "--save", name)
        assert done.returncode == 0, done.stderr
        assert "11. Binding" in done.stdout
    done = blindsight(tmp_path, "attest", "diff", "first", "second")
    assert done.returncode == 0, done.stderr
    assert "Code, function and model are the same." in done.stdout

    answer = tmp_path / "answer.json"
    answer.write_bytes(tiny_stack.client.get("/attestation").content)
    changes = json.loads(blindsight(tmp_path, "attest", "diff", "first", answer, "--json").stdout)
    assert changes.keys() <= {"made", "module"}


def test_a_kept_answer_has_a_document_in_it(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    url, policy = tiny_stack.gateway.url, ["--policy", tiny_stack.policy_file]
    assert blindsight(tmp_path, "attest", url, *policy, "--save", "document").returncode == 0
    assert blindsight(tmp_path, "classify", "--url", url, "--receipts", "kept", photo).returncode == 0
    done = blindsight(tmp_path, "attest", "diff", "kept/photo.png.receipt.json", "document")
    assert done.returncode == 0, done.stderr
    assert "Code, function and model are the same." in done.stdout
    (tmp_path / "plain.json").write_bytes(tiny_stack.client.post("/classify", content=plain(CLASS)).content)
    done = blindsight(tmp_path, "attest", "diff", "plain.json", "document")
    assert (done.returncode, "--receipts" in done.stderr) == (1, True), done.stderr


def test_an_address_has_no_document_yet(tmp_path: Path) -> None:
    done = blindsight(tmp_path, "attest", "diff", "https://localhost:8443", "new")
    assert done.stderr.splitlines() == [
        "error: https://localhost:8443 is no file",
        "next:  keep its document first: `blindsight attest https://localhost:8443 --save FILE`",
    ]


def test_a_document_does_not_replace_the_policy_that_it_was_checked_under(tiny_stack: Stack, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_bytes(tiny_stack.policy_file.read_bytes())
    done = blindsight(tmp_path, "attest", tiny_stack.gateway.url, "--policy", policy, "--save", policy)
    said = f"error: {policy} cannot be written: it is read, too; give another file"
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, said)
    assert policy.read_bytes() == tiny_stack.policy_file.read_bytes()


def test_a_document_does_not_replace_what_a_running_stack_reads(tiny_stack: Stack, tmp_path: Path) -> None:
    policy = ["--policy", tiny_stack.policy_file]
    with statelock.alone_in(tmp_path / "state"):
        (tmp_path / "state" / "policy.json").write_text("old")
        done = blindsight(tmp_path, "attest", tiny_stack.gateway.url, *policy, "--save", "state/policy.json")
    assert done.returncode == 1
    assert "is of the stack that runs in" in done.stderr
    assert (tmp_path / "state" / "policy.json").read_text() == "old"


def test_documents_that_differ(tmp_path: Path) -> None:
    from enclave_runtime.evidence.simulated import SimulatedProducer

    for name, code in (("old", 1), ("new", 2)):
        pcrs = {0: b"\x01" * 48, 1: b"\x02" * 48, 2: bytes([code]) * 48}
        producer = SimulatedProducer(tmp_path / "state", pcrs)
        (tmp_path / name).write_bytes(producer.attest(nonce=None, user_data=None, public_key=None))
    done = blindsight(tmp_path, "attest", "diff", "old", "new")
    assert done.returncode == 1
    assert "application part" in done.stdout
    assert "01" * 48 in done.stdout
    assert "02" * 48 in done.stdout
    assert "These are enclaves of different identity." in done.stdout
    assert "PCR 0" not in done.stdout


@pytest.mark.parametrize("spelling", [*misspelt("{}"), "utf-16, little end first"])
def test_evidence_in_another_spelling_of_json(tmp_path: Path, spelling: str) -> None:
    from enclave_runtime.evidence.simulated import SimulatedProducer

    producer = SimulatedProducer(tmp_path / "state", {0: b"\x01" * 48})
    document = producer.attest(nonce=None, user_data=None, public_key=None)
    text = json.dumps({"document": base64.b64encode(document).decode()})
    file = tmp_path / "old"
    file.write_text(text)
    assert blindsight(tmp_path, "attest", "diff", "old", "old").returncode == 0
    file.write_bytes((misspelt(text) | {"utf-16, little end first": text.encode("utf-16-le")})[spelling])
    done = blindsight(tmp_path, "attest", "diff", "old", "old")
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "next"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"document": 5}', b"garbage", None], ids=repr)
def test_what_is_no_document(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "old").write_bytes(content)
    done = blindsight(tmp_path, "attest", "diff", "old", "old")
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "next"]

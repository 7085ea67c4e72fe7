"""`blindsight hardware-report` on a simulated stack, as a user runs it; and what `verify` refuses."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import rfc8785

from blindsight import Client, receipts
from blindsight.attestation import Policy, Release
from blindsight.errors import BlindsightError
from blindsight.sealing import keyconfig
from blindsight_cli.hardware import collect, report
from enclave_runtime.evidence import choice
from enclave_runtime.evidence.nsm import NsmProducer
from tests.blindsight import receipt_enclave
from tests.blindsight.client.fake_gateway import CHECKSUM, PCRS, FakeGateway
from tests.support import policies
from tests.support.command import blindsight
from tests.support.fake_nsm import FakeNsm
from tests.support.images import plain
from tests.support.models import label_of
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.stack import Stack

CLASS = 606


@pytest.fixture(scope="module")
def made(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with one photo, as the command writes it."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "orchard.png").write_bytes(plain(CLASS))
    options = ("--url", tiny_stack.gateway.url, "--policy", tiny_stack.policy_file, "--requests", 5)
    done = blindsight(folder, "hardware-report", *options, "--photo", "orchard.png", "--out", "report.json")
    assert done.returncode == 0, done.stderr
    assert "SIMULATED" in done.stderr
    file = folder / "report.json"
    assert hashlib.sha256(file.read_bytes()).hexdigest() in done.stdout
    return file


@pytest.fixture
def policy(tiny_stack: Stack) -> Policy:
    return Policy.load(tiny_stack.policy_file)


def test_it_says_what_was_seen(made: Path, tiny_stack: Stack) -> None:
    whole = json.loads(made.read_bytes())
    assert whole["schema"] == "blindsight-hardware-report/1"
    body = whole["body"]
    assert body["measurements"] == {str(index): value for index, value in tiny_stack.measured.pcrs.items()}
    assert body["verification"]["kind"] == "simulated"
    assert any("SIMULATED" in notice for notice in body["notices"])
    assert body["host"]["kernel"].startswith("Linux ")
    assert body["host"]["instance"] is None
    assert set(body["confinement"]) == {"layers", "landlock_abi", "absent", "gaps"}
    (entry,) = body["answers"]
    assert entry["photo"]["name"] == "orchard.png"
    assert entry["answer"]["predictions"][0]["class_id"] == CLASS
    assert len(entry["answer"]["predictions"]) == 5
    timings = body["timings"]
    assert timings["requests"] == 5
    assert 0 < timings["p50_ms"] <= timings["p95_ms"] <= timings["max_ms"]
    assert timings["enclave_p50_ms"].keys() >= {"decode", "preprocess", "run"}


def test_anyone_verifies_it_later_offline(made: Path, tiny_stack: Stack, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "hardware-report", "verify", made, "--policy", tiny_stack.policy_file)
    assert done.returncode == 0, done.stderr
    assert "at the document's own time" in done.stdout
    assert label_of(CLASS) in done.stdout
    assert "Said by the reporter, and shown by nothing:" in done.stdout
    assert "SIMULATED" in done.stderr


def test_it_says_what_its_nonce_is_and_counts_in_english(made: Path, tiny_stack: Stack, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "hardware-report", "verify", made, "--policy", tiny_stack.policy_file)
    (line,) = (line for line in done.stdout.splitlines() if "Freshness" in line)
    assert line.endswith("passed     nonce / the caller's nonce")
    assert "Its document was made for this report: the nonce is SHA-256 of the report's body" in done.stdout
    assert "; 1 answer\n" in done.stdout


def test_a_photos_name_is_no_command_to_a_terminal(tiny_stack: Stack, tmp_path: Path) -> None:
    photo = tmp_path / "a\x1b]0;owned\x07.png"
    photo.write_bytes(plain(CLASS))
    options = ("--url", tiny_stack.gateway.url, "--policy", tiny_stack.policy_file, "--requests", 1)
    done = blindsight(tmp_path, "hardware-report", *options, "--photo", photo, "--out", "r\x1b[31m.json")
    assert done.returncode == 0, done.stderr
    assert "classifying a" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_no_metadata_service_is_said(tiny_stack: Stack, tmp_path: Path) -> None:
    """On no instance of EC2 the report would lack what was asked for, without a word."""
    options = ("--url", tiny_stack.gateway.url, "--policy", tiny_stack.policy_file, "--requests", 1, "--imds")
    done = blindsight(tmp_path, "hardware-report", *options, "--out", "report.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report.json").read_bytes())["body"]["host"]["instance"] is None
    assert "no metadata service answered at 169.254.169.254: the report has no instance" in done.stderr


def test_nothing_is_written_where_nothing_answers_or_something_is_there(tiny_stack: Stack, tmp_path: Path) -> None:
    options = ("--url", f"http://127.0.0.1:{free_port()}", "--policy", tiny_stack.policy_file)
    done = blindsight(tmp_path, "hardware-report", *options, "--out", "report.json")
    assert done.returncode == 1
    assert "[unreachable]" in done.stderr
    assert not (tmp_path / "report.json").exists()
    (tmp_path / "report.json").write_text("kept")
    done = blindsight(tmp_path, "hardware-report", *options, "--out", "report.json")
    assert "report.json is there already" in done.stderr
    assert (tmp_path / "report.json").read_text() == "kept"


def changed(made: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    whole = json.loads(made.read_bytes())
    change(whole)
    return rfc8785.dumps(whole)


def refusal(content: bytes, policy: Policy) -> str:
    with pytest.raises(BlindsightError) as caught:
        report.verify(content, policy)
    assert caught.value.next_step
    return caught.value.code


def test_a_report_under_another_policy_is_refused(made: Path, policy: Policy) -> None:
    other = policies.changed(policy, pcrs={2: frozenset({"ab" * 48}), 0: frozenset({"cd" * 48})})
    assert refusal(made.read_bytes(), other) == "pcr_mismatch"


def test_unchanged_it_is_accepted(made: Path, policy: Policy) -> None:
    """Else the refusals below would prove nothing."""
    assert report.verify(changed(made, lambda _: None), policy).verified.kind == "simulated"


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole["body"]["host"].update(processor="a faster one"),
        lambda whole: whole["body"]["timings"].update(p50_ms=0.1),
        lambda whole: whole["body"].update(confinement=None),
        lambda whole: whole["body"]["notices"].clear(),
        lambda whole: whole["body"].update(made="2026-01-01T00:00:00Z"),
        lambda whole: whole["body"]["answers"].clear(),
        lambda whole: whole["body"]["answers"][0]["photo"].update(name="another.png"),
        lambda whole: whole["body"]["model"].update(version="2"),
    ],
)
def test_whatever_is_changed_shows(made: Path, policy: Policy, change: Callable[[dict[str, Any]], object]) -> None:
    """Also what is only the reporter's word: the document was made for these very words."""
    assert refusal(changed(made, change), policy) == "report_changed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda whole: whole["evidence"].update(key_configs="AAAA"), "key_configs_mismatch"),
        (lambda whole: whole["evidence"].update(document="AA=="), "not_cose_sign1"),
        (lambda whole: whole["evidence"].update(document="!"), "malformed_report"),
        # Bits that no byte has: a second spelling of "AA==".
        (lambda whole: whole["evidence"].update(key_configs="AB=="), "malformed_report"),
        (lambda whole: whole["evidence"].update(document=7), "malformed_report"),
        (lambda whole: whole.update(schema="blindsight-hardware-report/2"), "malformed_report"),
        (lambda whole: whole.update(more=1), "malformed_report"),
        (lambda whole: whole["body"].update(more=1), "malformed_report"),
        (lambda whole: whole["body"].pop("host"), "malformed_report"),
        (lambda whole: whole["body"].update(host=[]), "malformed_report"),
        (lambda whole: whole["body"].update(answers={}), "malformed_report"),
        (lambda whole: whole.update(body=[]), "malformed_report"),
        (lambda whole: whole.update(evidence=[]), "malformed_report"),
    ],
)  # fmt: skip
def test_other_forms_are_refused(
    made: Path, policy: Policy, change: Callable[[dict[str, Any]], object], code: str
) -> None:
    assert refusal(changed(made, change), policy) == code


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"nul", b'{"a":1,"a":1}', b"[" * 10_000])
def test_no_report_at_all(policy: Policy, content: bytes) -> None:
    assert refusal(content, policy) == "malformed_report"


def test_one_spelling_only(made: Path, policy: Policy) -> None:
    """So that a file has one digest."""
    for content in (made.read_bytes() + b"\n", json.dumps(json.loads(made.read_bytes()), indent=1).encode()):
        assert refusal(content, policy) == "malformed_report"


def closed(stack: Stack, made: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A false report as its maker would write it: a changed body, and a genuine document made for that."""
    body = copy.deepcopy(json.loads(made.read_bytes())["body"])
    change(body)
    with Client(stack.gateway.url, policy=stack.policy_file) as client:
        client.verify(nonce=report.nonce_of(body))
        recipient = client.recipient
    assert recipient is not None
    return report.encode(body, document=recipient.document, key_configs=recipient.key_configs)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body["measurements"].update({"2": "ab" * 48}), "report_contradicts"),
        (lambda body: body["verification"].update(kind="nitro"), "report_contradicts"),
        (lambda body: body.update(made="2026-01-01T00:00:00Z"), "report_contradicts"),
        (lambda body: body.update(made="yesterday"), "malformed_report"),
        (lambda body: body["model"].update(version="2"), "model_mismatch"),
        (lambda body: body["answers"][0]["photo"].update(sha256="ab" * 32), "report_contradicts"),
        (lambda body: body["answers"][0]["answer"]["predictions"][0].update(label="a cat"), "receipt_output_mismatch"),
        (lambda body: body["answers"][0]["answer"].pop("receipt"), "malformed_receipt"),
        (lambda body: body["answers"][0].pop("answer"), "malformed_report"),
        (lambda body: body["answers"].append(7), "malformed_report"),
        (lambda body: body["answers"][0]["photo"].pop("name"), "malformed_report"),
        (lambda body: body["confinement"].update(gaps=7), "malformed_report"),
        (lambda body: body["confinement"].pop("layers"), "malformed_report"),
    ],
)  # fmt: skip
def test_a_report_that_its_maker_made_false(
    tiny_stack: Stack, made: Path, policy: Policy, change: Callable[[dict[str, Any]], object], code: str
) -> None:
    """With a genuine document at its end, what evidence and receipts show cannot be told otherwise."""
    assert refusal(closed(tiny_stack, made, change), policy) == code


def test_an_answer_of_another_enclave_that_the_policy_accepts_too(
    tiny_stack: Stack, made: Path, policy: Policy, tmp_path: Path
) -> None:
    """Its receipt holds, but says nothing of the hardware that the report is about."""
    other = receipt_enclave.Enclave.start(tmp_path)
    both = Policy(releases=(*policy.releases, *other.policy.releases))
    answer = receipts.archive(
        {**receipt_enclave.ANSWER, "receipt": other.key.sign(other.receipt)},
        document=other.document, manifest=receipt_enclave.MANIFEST,
    )  # fmt: skip
    assert receipts.verify(answer, policy=both).receipt == other.receipt
    entry = {"photo": {"name": "dog", "sha256": other.receipt.input_sha256, "bytes": 1}, "answer": answer}
    content = closed(tiny_stack, made, lambda body: body["answers"].append(entry))
    assert refusal(content, both) == "report_contradicts"


def test_labels_are_of_named_photos_only(tiny_stack: Stack, policy: Policy) -> None:
    """The picture that is timed shows nothing, and what is said of it is not kept."""
    with Client(tiny_stack.gateway.url, policy=policy) as client:
        content = collect.collect(client, info={}, host={}, photos=[], requests=1, progress=lambda _: None)
    assert json.loads(content)["body"]["answers"] == []
    assert label_of(0)[:6].encode() not in content
    assert report.verify(content, policy).body["confinement"] is None


def test_an_emulated_machines_report_says_so_and_no_other_policy_takes_it(tmp_path: Path) -> None:
    """As in QEMU's `nitro-enclave` machine: the same command, and evidence that nothing signs."""
    gateway = FakeGateway(tmp_path / "state")
    producer = NsmProducer(FakeNsm(pcrs=PCRS, emulated=True), tmp_path / "pool")
    choice.bind(producer, function=CHECKSUM, model=keyconfig.digest(gateway.attested_manifest))
    gateway.producer = producer
    pcrs = {index: frozenset({value.hex()}) for index, value in PCRS.items()}
    emulated, nitro = (
        Policy(releases=(Release(kind=kind, pcrs=pcrs, function_checksums=frozenset({CHECKSUM.hex()}), **roots),))
        for kind, roots in (("qemu-nitro-enclave", {"roots": frozenset()}), ("nitro", {}))
    )
    transport = httpx2.MockTransport(gateway.handle)
    with Client("https://gateway.example", policy=emulated, transport=transport) as client:
        content = collect.collect(client, info={}, host={}, photos=[], requests=2, progress=lambda _: None)
    found = report.verify(content, emulated)
    assert found.verified.kind == "qemu-nitro-enclave"
    assert any("EMULATED ENCLAVE (QEMU)" in notice for notice in found.body["notices"])
    assert "EMULATED ENCLAVE (QEMU)" in found.verified.report.render()
    assert refusal(content, nitro) == "wrong_algorithm"
    changed_later = json.loads(content)
    changed_later["body"]["timings"]["p50_ms"] = 0.1
    assert refusal(rfc8785.dumps(changed_later), emulated) == "report_changed"

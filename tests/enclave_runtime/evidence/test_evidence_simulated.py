from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtensionOID, NameOID

import enclave_runtime
from blindsight.attestation import Claims, Policy, Release, check_key_configs, pcr16_extension, verify
from blindsight.errors import EvidenceError, ProducerError
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.evidence.simulated_pki import ROOT_FILE

if TYPE_CHECKING:
    from enclave_runtime.evidence.producer import EvidenceProducer

START = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)
PCRS = {index: bytes([index + 1]) * 48 for index in range(3)}
NONCE = bytes(range(32))
FIELD_ORDER = [
    "module_id",
    "digest",
    "timestamp",
    "pcrs",
    "certificate",
    "cabundle",
    "public_key",
    "user_data",
    "nonce",
]


class Clock:
    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def producer(tmp_path: Path, clock: Clock) -> SimulatedProducer:
    return SimulatedProducer(tmp_path / "state", PCRS, clock)


def attest(producer: EvidenceProducer, nonce: bytes | None = NONCE, user_data: bytes | None = None) -> bytes:
    return producer.attest(nonce=nonce, user_data=user_data, public_key=bytes(range(32)))


def policy(producer: SimulatedProducer) -> Policy:
    release = Release(
        kind="simulated",
        roots=frozenset({producer.root_fingerprint}),
        pcrs={index: frozenset([value.hex()]) for index, value in PCRS.items()},
        any_function=True,
    )
    return Policy(releases=(release,))


def certificates(document: bytes) -> list[x509.Certificate]:
    fields = cbor2.loads(cbor2.loads(document)[2])
    return [x509.load_der_x509_certificate(der) for der in (*fields["cabundle"], fields["certificate"])]


def test_document_verifies_with_all_steps(producer: SimulatedProducer, clock: Clock) -> None:
    key_configs = b"key configurations"
    claims = Claims(b"\x01" * 32, hashlib.sha256(key_configs).digest(), b"\x03" * 32, b"\x04" * 32)
    producer.extend_pcr(16, pcr16_extension(claims.func_checksum, claims.model_sha256))
    producer.lock_pcr(16)
    document = attest(producer, user_data=claims.to_json())
    verified = verify(document, policy=policy(producer), nonce=NONCE, now=clock.now)
    assert verified.kind == producer.kind == "simulated"
    assert verified.claims == claims
    assert verified.document.timestamp == clock.now
    check_key_configs(verified, key_configs)


def test_bytes_are_shaped_as_nitro_s(producer: SimulatedProducer) -> None:
    document = attest(producer)
    assert document.startswith(bytes.fromhex("8444a1013822a059"))
    protected, unprotected, payload, signature = cbor2.loads(document)
    assert (protected, unprotected, len(signature)) == (bytes.fromhex("a1013822"), {}, 96)
    fields = cbor2.loads(payload)
    entries = b"".join(cbor2.dumps(name) + cbor2.dumps(value) for name, value in fields.items())
    # As the NSM has written it since July 2025: the outer map indefinite, the rest definite.
    assert payload == b"\xbf" + entries + b"\xff"
    assert list(fields) == FIELD_ORDER
    assert list(fields["pcrs"]) == list(range(16))
    assert fields["digest"] == "SHA384"
    assert fields["timestamp"] == int(START.timestamp() * 1000)
    assert fields["user_data"] is None
    assert max(map(len, (*fields["cabundle"], fields["certificate"]))) <= 1024
    assert 4_000 < len(document) < 5_200


def test_chain_is_shaped_as_nitro_s(producer: SimulatedProducer) -> None:
    *authorities, leaf = certificates(attest(producer))
    second = START.replace(microsecond=0)
    constraints = [
        each.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length for each in authorities
    ]
    assert constraints == [None, 2, 1, 0]
    lives = [each.not_valid_after_utc - each.not_valid_before_utc for each in (*authorities, leaf)]
    assert lives == [
        timedelta(days=30 * 365),
        timedelta(days=20),
        timedelta(days=6),
        timedelta(hours=24),
        timedelta(hours=3, seconds=3),
    ]
    assert leaf.not_valid_after_utc == second + timedelta(hours=3)
    for issuer, subject in zip(authorities, (*authorities[1:], leaf), strict=True):
        subject.verify_directly_issued_by(issuer)
        assert issuer.not_valid_before_utc <= subject.not_valid_before_utc
    for each in (*authorities, leaf):
        assert isinstance(each.public_key().curve, ec.SECP384R1)
        assert isinstance(each.signature_hash_algorithm, hashes.SHA384)
    root_name = authorities[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert root_name == "blindsight.simulated"


def test_extensions_satisfy_published_clients(producer: SimulatedProducer) -> None:
    *authorities, leaf = certificates(attest(producer))
    for position, each in enumerate(authorities):
        present = {extension.oid: extension.critical for extension in each.extensions}
        assert present.pop(ExtensionOID.BASIC_CONSTRAINTS)
        assert present.pop(ExtensionOID.KEY_USAGE)
        identifiers = {ExtensionOID.SUBJECT_KEY_IDENTIFIER: False}
        if position:
            identifiers[ExtensionOID.AUTHORITY_KEY_IDENTIFIER] = False
        assert present == identifiers
    assert {extension.oid: extension.critical for extension in leaf.extensions} == {
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: False,
    }
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment, usage.key_cert_sign) == (True, True, False)


def test_signature_as_cape_s_clients_check_it(producer: SimulatedProducer) -> None:
    """pycape re-encodes the protected map, splits r and s, and verifies with the leaf's coordinates."""
    protected, _, payload, signature = cbor2.loads(attest(producer))
    signed = cbor2.dumps(["Signature1", cbor2.dumps(cbor2.loads(protected)), b"", payload])
    leaf = x509.load_der_x509_certificate(cbor2.loads(payload)["certificate"]).public_key()
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    leaf.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))


def test_chain_is_renewed_before_its_leaf_runs_out(producer: SimulatedProducer, clock: Clock) -> None:
    first = certificates(attest(producer))
    clock.now = START + timedelta(hours=1, minutes=59)
    assert certificates(attest(producer)) == first
    clock.now = START + timedelta(hours=2)
    second = certificates(attest(producer))
    assert second[0] == first[0]
    assert not {each.serial_number for each in second[1:]} & {each.serial_number for each in first[1:]}


@pytest.mark.parametrize("days", [0.1, 1, 6, 20, 365, 3650])
def test_documents_verify_at_any_later_time_and_only_then(
    producer: SimulatedProducer, clock: Clock, days: float
) -> None:
    early = attest(producer)
    clock.now = START + timedelta(days=days)
    verify(attest(producer), policy=policy(producer), nonce=NONCE, now=clock.now)
    with pytest.raises(EvidenceError):
        verify(early, policy=policy(producer), nonce=NONCE, now=clock.now)


def test_clock_set_back_gets_a_chain_of_its_own(producer: SimulatedProducer, clock: Clock) -> None:
    attest(producer)
    clock.now = START - timedelta(minutes=2)
    document = attest(producer)
    verify(document, policy=policy(producer), nonce=NONCE, now=clock.now)
    starts = [each.not_valid_before_utc for each in certificates(document)]
    assert starts == sorted(starts)


def test_root_is_kept_and_private(producer: SimulatedProducer, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "state" / ROOT_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [ROOT_FILE]
    again = SimulatedProducer(tmp_path / "state", PCRS, clock)
    assert again.root_fingerprint == producer.root_fingerprint
    root = certificates(attest(producer))[0]
    der = root.public_bytes(serialization.Encoding.DER)
    assert hashlib.sha256(der).hexdigest() == producer.root_fingerprint


def test_machines_do_not_accept_each_other(producer: SimulatedProducer, tmp_path: Path, clock: Clock) -> None:
    other = SimulatedProducer(tmp_path / "other", PCRS, clock)
    with pytest.raises(EvidenceError) as caught:
        verify(attest(other), policy=policy(producer), nonce=NONCE, now=clock.now)
    assert caught.value.code == "root_not_pinned"


def test_processes_that_start_together_share_one_root(tmp_path: Path) -> None:
    program = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from enclave_runtime.evidence.simulated import SimulatedProducer
print("ready", flush=True)
sys.stdin.readline()
print(SimulatedProducer(Path(sys.argv[1]), {}, lambda: datetime.now(UTC)).root_fingerprint)
"""
    root = Path(enclave_runtime.__path__[0]).parent
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "state")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        )
        for _ in range(4)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    fingerprints = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(fingerprints) == 1
    assert len(fingerprints.pop()) == 64
    assert [each.name for each in (tmp_path / "state").iterdir()] == [ROOT_FILE]


def test_publishing_never_replaces_a_root(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race itself: another process publishes between the look and the link."""
    winner = SimulatedProducer(tmp_path, PCRS, clock)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert SimulatedProducer(tmp_path, PCRS, clock).root_fingerprint == winner.root_fingerprint


@pytest.mark.parametrize("damage", ["mode", "truncated", "empty", "other key", "folder"])
def test_unusable_state_is_refused(tmp_path: Path, clock: Clock, damage: str) -> None:
    SimulatedProducer(tmp_path, PCRS, clock)
    path = tmp_path / ROOT_FILE
    pem = path.read_bytes()
    if damage == "mode":
        path.chmod(0o640)
    elif damage == "folder":
        path.unlink()
        path.mkdir(mode=0o700)
    elif damage == "other key":
        key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(key + pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    else:
        path.write_bytes(b"" if damage == "empty" else pem[:-40])
    with pytest.raises(ProducerError) as caught:
        SimulatedProducer(tmp_path, PCRS, clock)
    assert caught.value.code == "state_unusable"
    assert "PRIVATE" not in str(caught.value)


def test_registers_extend_and_lock_as_the_nsm_s(producer: SimulatedProducer) -> None:
    data = b"measured later"
    expected = hashlib.sha384(bytes(48) + data).digest()
    assert producer.extend_pcr(16, data) == expected
    assert 16 not in producer.pcrs
    assert producer.extend_pcr(16, data) == hashlib.sha384(expected + data).digest()
    producer.lock_pcr(16)
    assert producer.pcrs[16] == cbor2.loads(cbor2.loads(attest(producer))[2])["pcrs"][16]
    for change in (lambda: producer.extend_pcr(16, data), lambda: producer.lock_pcr(16)):
        with pytest.raises(ProducerError) as caught:
            change()
        assert caught.value.code == "pcr_locked"


@pytest.mark.parametrize(
    ("index", "code"), [(0, "pcr_locked"), (15, "pcr_locked"), (32, "invalid_pcr"), (-1, "invalid_pcr")]
)
def test_registers_that_cannot_be_extended(producer: SimulatedProducer, index: int, code: str) -> None:
    with pytest.raises(ProducerError) as caught:
        producer.extend_pcr(index, b"")
    assert caught.value.code == code


@pytest.mark.parametrize("pcrs", [{0: bytes(32)}, {16: bytes(48)}, {-1: bytes(48)}])
def test_boot_measurements_are_checked(tmp_path: Path, clock: Clock, pcrs: dict[int, bytes]) -> None:
    with pytest.raises(ProducerError) as caught:
        SimulatedProducer(tmp_path, pcrs, clock)
    assert caught.value.code == "invalid_pcr"


@pytest.mark.parametrize(("name", "limit"), [("nonce", 512), ("user_data", 1024), ("public_key", 1024)])
def test_inputs_have_the_device_s_limits(producer: SimulatedProducer, name: str, limit: int) -> None:
    fields: dict[str, bytes | None] = {"nonce": None, "user_data": None, "public_key": None}
    document = producer.attest(**fields | {name: bytes(limit)})
    assert cbor2.loads(cbor2.loads(document)[2])[name] == bytes(limit)
    with pytest.raises(ProducerError) as caught:
        producer.attest(**fields | {name: bytes(limit + 1)})
    assert caught.value.code == "attestation_input_too_large"


def test_threads_attest_and_extend_together(producer: SimulatedProducer, clock: Clock) -> None:
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait()
        for round_ in range(20):
            producer.extend_pcr(20, b"x")
            nonce = bytes([number, round_]) * 16
            verify(attest(producer, nonce), policy=policy(producer), nonce=nonce, now=clock.now)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    value = bytes(48)
    for _ in range(80):
        value = hashlib.sha384(value + b"x").digest()
    assert producer.extend_pcr(20, b"x") == hashlib.sha384(value + b"x").digest()

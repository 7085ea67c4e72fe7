"""The security module's requests and responses, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.attestation import Policy, Release, verify_archived
from blindsight.errors import EvidenceError, ProducerError
from enclave_runtime.evidence import nsm_protocol as protocol
from tests.support import nsm_recorder
from tests.support.fake_nsm import FakeNsm

TRANSCRIPTS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted(Path(__file__).parent.glob("nsm_transcript*.json"))
}
"""`exchanges`: requests and responses of one boot, in order; `provenance`: where they come from."""

TRANSCRIPTS["the fake"] = nsm_recorder.record(FakeNsm(), "Recorded of the tests' own module.")

READERS = {
    "DescribeNSM": protocol.read_description,
    "GetRandom": protocol.read_random,
    "DescribePCR": protocol.read_register,
    "ExtendPCR": protocol.read_extended,
    "LockPCR": protocol.read_locked,
    "LockPCRs": lambda response: protocol.read_locked(response, "LockPCRs"),
    "Attestation": protocol.read_document,
}
REQUESTS = {
    "DescribeNSM": lambda **_: protocol.describe_nsm(),
    "GetRandom": lambda **_: protocol.get_random(),
    "DescribePCR": protocol.describe_pcr,
    "ExtendPCR": protocol.extend_pcr,
    "LockPCR": protocol.lock_pcr,
    "LockPCRs": lambda **arguments: protocol.lock_pcrs(arguments["range"]),
    "Attestation": protocol.attestation,
}
GOOD = {
    "DescribeNSM": {"digest": "SHA384", "max_pcrs": 32, "module_id": "i-1-enc2", "locked_pcrs": list(range(16)),
                    "version_major": 1, "version_minor": 0, "version_patch": 7},
    "GetRandom": {"random": b"r" * 256},
    "DescribePCR": {"data": b"p" * 48, "lock": True},
    "ExtendPCR": {"data": b"p" * 48},
    "LockPCR": {},
    "LockPCRs": {},
    "Attestation": {"document": b"d" * 5000},
}  # fmt: skip


def code_of(command: str, response: bytes) -> str | None:
    try:
        READERS[command](response)
    except ProducerError as error:
        return error.code if error.next_step else "no next step"
    return None


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(exchange, id=f"{name}: {exchange['is']}")
        for name, transcript in TRANSCRIPTS.items()
        for exchange in transcript["exchanges"]
    ],
)
def test_the_transcript(exchange: dict[str, Any]):
    """Each request is what we would ask, each response read, or refused, as the transcript says."""
    request, response = bytes.fromhex(exchange["request"]), bytes.fromhex(exchange["response"])
    decoded = cbor2.loads(request)
    command, arguments = (decoded, {}) if isinstance(decoded, str) else next(iter(decoded.items()))
    if command in REQUESTS:
        assert REQUESTS[command](**arguments) == request
        assert code_of(command, response) == exchange.get("code")
    else:
        assert code_of("DescribeNSM", response) == exchange["code"]
    if command in REQUESTS and "code" not in exchange:
        for size in range(0, len(response), 1 + len(response) // 500):
            assert code_of(command, response[:size]) == "nsm_answer"


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_transcript_has_every_command_and_says_where_it_is_from(name: str):
    transcript = TRANSCRIPTS[name]
    decoded = [cbor2.loads(bytes.fromhex(each["request"])) for each in transcript["exchanges"]]
    assert {each if isinstance(each, str) else next(iter(each)) for each in decoded} >= READERS.keys()
    assert transcript["provenance"].startswith(("Constructed", "Recorded"))


def test_the_recorded_document_is_the_emulated_machines():
    """Accepted for what it is, and refused by a policy for Nitro enclaves."""
    exchange = next(each for each in TRANSCRIPTS["nsm_transcript_qemu"]["exchanges"] if each["is"] == "a document")
    document = protocol.read_document(bytes.fromhex(exchange["response"]))
    payload = cbor2.loads(cbor2.loads(document)[2])
    pcrs = {index: frozenset({payload["pcrs"][index].hex()}) for index in range(3)}
    emulated, nitro = (
        Policy(releases=(Release(kind=kind, pcrs=pcrs, any_function=True, **roots),))
        for kind, roots in (("qemu-nitro-enclave", {"roots": frozenset()}), ("nitro", {}))
    )
    verified = verify_archived(document, policy=emulated, nonce=bytes(range(32)))
    assert (verified.kind, verified.document.user_data, verified.document.public_key) == (
        "qemu-nitro-enclave", b"data", None,
    )  # fmt: skip
    assert set(verified.document.pcrs) == set(range(18))  # With those that the recording locked.
    with pytest.raises(EvidenceError) as caught:
        verify_archived(document, policy=nitro)
    assert caught.value.code == "wrong_algorithm"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("InvalidArgument", "nsm_refused"), ("InvalidIndex", "invalid_pcr"), ("InvalidResponse", "nsm_failed"),
        ("ReadOnlyIndex", "pcr_locked"), ("InvalidOperation", "nsm_refused"), ("BufferTooSmall", "nsm_failed"),
        ("InputTooLarge", "attestation_input_too_large"), ("InternalError", "nsm_failed"),
        ("A new one\x1b[2J", "nsm_failed"), (7, "nsm_failed"), ({}, "nsm_failed"), (None, "nsm_failed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", READERS)
def test_every_error_of_the_device(command: str, said: object, code: str):
    with pytest.raises(ProducerError) as caught:
        READERS[command](cbor2.dumps({"Error": said}))
    assert caught.value.code == code
    assert command in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("command", READERS)
def test_every_good_answer_and_only_its_commands(command: str):
    encoded = cbor2.dumps({command: GOOD[command]})
    assert code_of(command, encoded) is None
    assert code_of(command, cbor2.dumps({command: GOOD[command] | {"new in 2027": 1}})) is None
    for other in READERS.keys() - {command}:
        assert code_of(other, encoded) == "nsm_answer"


@pytest.mark.parametrize(
    ("command", "field"), [(command, field) for command, fields in GOOD.items() for field in fields]
)
def test_every_field_is_needed_in_its_form(command: str, field: str):
    wrong = (..., None, True if field != "lock" else 1, -1, 1 << 16, "", b"", b"p" * 47, b"p" * 257, 1.5, [None], {})
    for value in wrong:
        fields = GOOD[command] | {field: value}
        if value is ...:
            del fields[field]
        if field == "document" and isinstance(value, bytes) and value:
            continue  # Whether it is one, its readers say.
        if field == "random" and value == b"p" * 47:
            continue
        assert code_of(command, cbor2.dumps({command: fields})) == "nsm_answer", value


@pytest.mark.parametrize(
    "response",
    [
        b"", b"\xbf", b"\xff", b"\xbf\xff", b"\xa0", b"\xa1", b"\xa1\x60\xf6", b"\xa2", b"\xd9\xd9\xf7\xa0", b"\xf6",
        cbor2.dumps({"LockPCR": {}}) + b"\0", cbor2.dumps("LockPCR") + b"\0", cbor2.dumps({"LockPCR": {}, "x": 1}),
        cbor2.dumps({1: {}}), cbor2.dumps({"LockPCR": [1]}), b"\xa1\x78\x07LockPCR\xa0", b"\xa1\x7f\x67LockPCR\xff\xa0",
        b"\xbf\x67LockPCR\xa0", b"\xbf\x67LockPCR\xa0\x67LockPCR\xa0\xff", b"\xa1\x67LockPCR\xa2\x61a\x01\x61a\x02",
        b"\xa1\x67Lock\xff\xff\xff\xa0",
    ],
)  # fmt: skip
def test_what_is_no_answer(response: bytes):
    assert code_of("LockPCR", response) == "nsm_answer"


@settings(max_examples=60, deadline=None)
@given(command=st.sampled_from(sorted(READERS)), data=st.data())
def test_damage_is_an_answer_or_refused_and_nothing_else(command: str, data: st.DataObject):
    """Anything else would end the runtime with a traceback."""
    response = bytearray(cbor2.dumps({command: GOOD[command]}))
    for _ in range(data.draw(st.integers(1, 4))):
        response[data.draw(st.integers(0, min(len(response), 80) - 1))] = data.draw(st.integers(0, 255))
    code_of(command, bytes(response))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes):
    for command in READERS:
        code_of(command, noise)


_BYTES = st.none() | st.binary(max_size=1024)


@settings(max_examples=60, deadline=None)
@given(user_data=_BYTES, nonce=_BYTES, public_key=_BYTES)
def test_requests_are_what_the_device_decodes(user_data: bytes | None, nonce: bytes | None, public_key: bytes | None):
    fields = {"user_data": user_data, "nonce": nonce, "public_key": public_key}
    request = protocol.attestation(**fields)
    assert cbor2.loads(request) == {"Attestation": fields}
    assert len(request) <= 0x1000


@settings(max_examples=40, deadline=None)
@given(index=st.integers(0, 40), data=st.binary(max_size=100))
def test_the_fake_is_read_whatever_it_is_asked(index: int, data: bytes):
    device = _FAKE
    code = None if index < 32 else "invalid_pcr"
    assert code_of("DescribePCR", device(protocol.describe_pcr(index))) == code
    assert code_of("ExtendPCR", device(protocol.extend_pcr(index, data))) == ("pcr_locked" if index < 16 else code)


_FAKE = FakeNsm()

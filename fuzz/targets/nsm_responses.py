"""Harness for responses of the Nitro security module, in sequence (`fuzz.pieces`), to the producer of evidence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cbor2

from blindsight.errors import ProducerError
from enclave_runtime.evidence import nsm_protocol as protocol
from enclave_runtime.evidence.nsm import NsmProducer
from fuzz import pieces
from fuzz.target import Target


def run(data: bytes) -> None:
    """Check that the producer raises `ProducerError`, or that the registers have the expected values."""
    responses = [content for _, content in pieces.unpack(data)]
    for response in responses[:1]:
        _read(response)
    left = iter(responses)

    def transport(request: bytes) -> bytes:
        assert len(request) <= protocol.MAX_REQUEST_BYTES
        return next(left, b"")

    producer = NsmProducer(transport, Path("/dev/null"))
    assert producer.module_id
    new = producer.extend_pcr(16, b"data")
    producer.lock_pcr(16)
    assert len(new) == protocol.PCR_BYTES
    assert all(len(value) == protocol.PCR_BYTES for value in producer.pcrs.values())
    assert producer.attest(nonce=b"nonce", user_data=None, public_key=None)


def _read(response: bytes) -> None:
    """Parse the response as each kind of answer; at most one may accept it."""
    readers = (
        protocol.read_description, protocol.read_random, protocol.read_register, protocol.read_extended,
        protocol.read_document,
    )  # fmt: skip
    taken = 0
    for read in readers:
        try:
            read(response)
            taken += 1
        except ProducerError as error:
            assert error.next_step
    assert taken <= 1


def seeds() -> dict[str, bytes]:
    """A complete exchange with both forms of maps, and error responses."""
    zero, extended = bytes(48), hashlib.sha384(bytes(48) + b"data").digest()
    description = {
        "version_major": 1, "version_minor": 0, "version_patch": 0, "module_id": "i-0123456789abcdef0-enc0",
        "max_pcrs": 32, "locked_pcrs": [0], "digest": "SHA384",
    }  # fmt: skip
    answers = [
        {"DescribeNSM": description}, {"DescribePCR": {"lock": False, "data": zero}},
        {"DescribePCR": {"lock": True, "data": b"\x01" * 48}}, {"GetRandom": {"random": bytes(32)}},
        {"DescribePCR": {"lock": False, "data": zero}}, {"ExtendPCR": {"data": extended}}, "LockPCR",
        {"DescribePCR": {"lock": True, "data": extended}}, {"Attestation": {"document": b"document"}},
    ]  # fmt: skip
    return {
        "conversation": pieces.pack((0, cbor2.dumps(answer)) for answer in answers),
        "indefinite": pieces.pack((0, _indefinite(answer)) for answer in answers),
        "error": pieces.pack([(0, cbor2.dumps({"Error": "InvalidIndex"}))]),
        "register": pieces.pack([(0, cbor2.dumps(answers[1]))]),
    }


def _indefinite(answer: object) -> bytes:
    if not isinstance(answer, dict):
        return cbor2.dumps(answer)
    ((name, fields),) = answer.items()
    inner = b"".join(cbor2.dumps(key) + cbor2.dumps(value) for key, value in fields.items())
    return b"\xbf" + cbor2.dumps(name) + b"\xbf" + inner + b"\xff\xff"


TARGET = Target(
    run, (ProducerError,), seeds, max_bytes=1500,
    words=(b"DescribeNSM", b"DescribePCR", b"ExtendPCR", b"GetRandom", b"LockPCR", b"Attestation", b"Error"),
)  # fmt: skip

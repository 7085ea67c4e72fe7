"""Whatever is done to a document, the answer is an `EvidenceError`; without the signing key, never acceptance."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cbor2
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from blindsight import cbor
from blindsight.attestation import UnsafeAcceptAnything, verify
from blindsight.errors import EvidenceError
from tests.blindsight.attestation.attestation_forge import ANY_FUNCTION, NONCE, NOW, Forge

FORGE = Forge()
DOCUMENT = FORGE.document()
MESSAGE = cbor2.loads(DOCUMENT)
FIELDS = FORGE.fields()

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=80) | st.text(max_size=20)
values = st.recursive(
    scalars | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(-40, 40) | st.text(max_size=5), inner),
    max_leaves=12,
)


def refused(document: bytes) -> bool:
    try:
        verify(document, policy=FORGE.policy(), nonce=NONCE, now=NOW)
    except EvidenceError:
        return True
    return False


@quick
@given(st.lists(st.tuples(st.integers(0, len(DOCUMENT) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    document = bytearray(DOCUMENT)
    for position, difference in changes:
        document[position] ^= difference
    assume(bytes(document) != DOCUMENT)
    assert refused(bytes(document))


@quick
@given(st.integers(0, len(DOCUMENT)), st.integers(0, len(DOCUMENT)), st.binary(max_size=40))
def test_replaced_range(start: int, end: int, inserted: bytes) -> None:
    document = DOCUMENT[:start] + inserted + DOCUMENT[max(start, end) :]
    assume(document != DOCUMENT)
    assert refused(document)


@quick
@given(st.binary(max_size=200))
def test_arbitrary_bytes(document: bytes) -> None:
    assert refused(document)


@quick
@given(st.integers(0, 3), values)
def test_replaced_element_of_the_envelope(position: int, value: Any) -> None:
    message = list(MESSAGE)
    assume(value != message[position])
    message[position] = value
    assert refused(cbor2.dumps(message))


@quick
@given(st.sampled_from(sorted(FIELDS)), values)
def test_replaced_field_without_the_key(name: str, value: Any) -> None:
    assume(value != FIELDS[name])
    assert refused(cbor2.dumps([*MESSAGE[:2], cbor2.dumps(FIELDS | {name: value}), MESSAGE[3]]))


@quick
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), values, max_size=3))
def test_signed_nonsense_is_accepted_or_refused_but_never_breaks(changes: dict[str, Any]) -> None:
    with suppress(EvidenceError):
        verify(FORGE.document(**changes), policy=UnsafeAcceptAnything(), nonce=None, now=NOW)


@quick
@given(st.integers(0, 4), st.integers(0, 700), st.integers(1, 255))
def test_changed_certificate_signed_by_the_enclave(which: int, position: int, difference: int) -> None:
    certificates = [bytearray(der) for der in (*FORGE.bundle, FORGE.leaf.der)]
    certificates[which][position % len(certificates[which])] ^= difference
    *bundle, leaf = map(bytes, certificates)
    assert refused(FORGE.document(certificate=leaf, cabundle=bundle))


@quick
@given(st.binary(max_size=60))
def test_user_data_of_any_kind(user_data: bytes) -> None:
    verified = FORGE.verify(FORGE.document(user_data=user_data), **ANY_FUNCTION)
    assert verified.claims is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.integers(0, 2**40) | st.text(max_size=5), inner),
    max_leaves=6,
)


@quick
@given(plain)
def test_decoder_agrees_with_cbor2(value: Any) -> None:
    try:
        decoded = cbor.decode(cbor2.dumps(value))
    except cbor.CBORDecodeError as error:
        assert error.code == "nesting_too_deep"  # noqa: PT017 -- the only refusal that well-formed values may meet
    else:
        assert decoded == value


@quick
@given(st.binary(max_size=40))
def test_what_the_decoder_accepts_is_the_one_encoding(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except cbor.CBORDecodeError:
        return
    assert cbor2.dumps(value) == data


@quick
@given(st.binary(max_size=40))
def test_an_indefinite_map_has_one_encoding_too(entries: bytes) -> None:
    data = b"\xbf" + entries + b"\xff"
    try:
        value = cbor.decode(data, indefinite_map=True)
    except cbor.CBORDecodeError:
        return
    assert isinstance(value, dict)
    assert b"".join(cbor2.dumps(key) + cbor2.dumps(each) for key, each in value.items()) == entries

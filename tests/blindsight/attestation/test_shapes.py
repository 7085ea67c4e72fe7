"""The two forms of the payload's outer map: definite until 2023, indefinite in every document since July 2025."""

from __future__ import annotations

from dataclasses import replace

import cbor2
import pytest

from tests.blindsight.attestation.attestation_forge import CLAIMS, NONCE, PCRS, Forge, refusal

BREAK = b"\xff"


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


@pytest.fixture(scope="module")
def definite(forge: Forge) -> Forge:
    return replace(forge, indefinite=False)


def refusal_of_payload(forge: Forge, payload: bytes) -> tuple[str, int]:
    """How a document with this payload, signed as any other, is refused."""
    return refusal(forge, forge.envelope(payload))


def entry(name: object, value: object) -> bytes:
    return cbor2.dumps(name) + cbor2.dumps(value)


def test_both_forms_verify_and_say_the_same(forge: Forge, definite: Forge) -> None:
    new, old = forge.payload(), definite.payload()
    assert (new[0], new[-1:], old[0]) == (0xBF, BREAK, 0xA9)
    assert new[1:-1] == old[1:]
    verified = forge.verify(forge.envelope(new))
    assert verified.claims == CLAIMS
    assert verified.document == forge.verify(forge.envelope(old)).document


@pytest.mark.parametrize("tag", [b"", b"\xd2"])
def test_the_envelope_is_definite(forge: Forge, definite: Forge, tag: bytes) -> None:
    for each in (forge, definite):
        document = each.document()
        assert refusal(each, tag + b"\x9f" + document[1:] + BREAK) == ("indefinite_length", 1)
        unprotected = document.replace(b"\xa1\x01\x38\x22\xa0", b"\xa1\x01\x38\x22\xbf\xff", 1)
        assert unprotected != document
        assert refusal(each, tag + unprotected) == ("indefinite_length", 1)
    assert refusal(forge, tag + forge.payload()) == ("indefinite_length", 1)


def test_what_the_map_holds_is_definite(forge: Forge, definite: Forge) -> None:
    bundle = b"".join(cbor2.dumps(der) for der in forge.bundle)
    registers = b"".join(entry(index, value) for index, value in PCRS.items())
    for whole, parts in (
        (cbor2.dumps(PCRS), b"\xbf" + registers),
        (cbor2.dumps(forge.bundle), b"\x9f" + bundle),
        (cbor2.dumps(NONCE), b"\x5f" + cbor2.dumps(NONCE)),
        (cbor2.dumps("SHA384"), b"\x7f" + cbor2.dumps("SHA384")),
        (cbor2.dumps("digest"), b"\x7f" + cbor2.dumps("digest")),
    ):
        for each in (forge, definite):
            changed = each.payload().replace(whole, parts + BREAK)
            assert changed != each.payload()
            assert refusal_of_payload(each, changed) == ("indefinite_length", 2)


def test_only_the_outermost_value_may_be_indefinite(forge: Forge) -> None:
    payload = forge.payload()
    assert refusal_of_payload(forge, b"\x81" + payload) == ("indefinite_length", 2)
    assert refusal_of_payload(forge, b"\xa1\x00" + payload) == ("indefinite_length", 2)
    assert refusal_of_payload(forge, b"\xbf\x00" + payload + BREAK) == ("indefinite_length", 2)
    assert refusal_of_payload(forge, b"\x9f" + payload[1:]) == ("indefinite_length", 2)
    assert refusal_of_payload(forge, b"\x5f" + payload[1:]) == ("indefinite_length", 2)
    assert refusal_of_payload(forge, b"\xd2" + payload) == ("unexpected_tag", 2)


def test_the_break_is_required(forge: Forge, definite: Forge) -> None:
    payload = forge.payload()
    assert refusal_of_payload(forge, payload[:-1]) == ("malformed_cbor", 2)
    assert refusal_of_payload(forge, b"\xbf") == ("malformed_cbor", 2)
    assert refusal_of_payload(forge, b"\xbf" + BREAK) == ("missing_field", 2)
    assert refusal_of_payload(forge, definite.payload() + BREAK) == ("trailing_bytes", 2)


def test_nothing_follows_the_break(forge: Forge) -> None:
    payload = forge.payload()
    for more in (b"\x00", BREAK, entry("nonce", NONCE), entry("nonce", NONCE) + BREAK, payload):
        assert refusal_of_payload(forge, payload + more) == ("trailing_bytes", 2)


def test_a_break_is_neither_a_key_s_value_nor_half_a_pair(forge: Forge) -> None:
    entries = forge.payload()[:-1]
    # The break that closes the map is found where a value should be, so that the number of items is odd.
    assert refusal_of_payload(forge, entries + cbor2.dumps("extra") + BREAK) == ("indefinite_length", 2)
    assert refusal_of_payload(forge, entries + cbor2.dumps("extra") + BREAK + BREAK) == ("indefinite_length", 2)
    nonce = forge.payload().replace(entry("nonce", NONCE), cbor2.dumps("nonce") + BREAK)
    assert refusal_of_payload(forge, nonce) == ("indefinite_length", 2)
    bundle = cbor2.dumps(forge.bundle)
    within = forge.payload().replace(bundle, bytes([bundle[0] + 1]) + bundle[1:] + BREAK)
    assert refusal_of_payload(forge, within) == ("indefinite_length", 2)


@pytest.mark.parametrize("name", ["nonce", "user_data", "pcrs", "certificate", "module_id", "added_later", 7])
def test_no_key_comes_twice(forge: Forge, definite: Forge, name: object) -> None:
    for each in (forge, definite):
        fields = each.fields()
        new = [] if name in fields else [entry(name, b"\x01")]
        again = [entry(name, fields.get(name, b"\x02"))]
        body = each.payload()[1:].removesuffix(BREAK if each.indefinite else b"")
        for joined in (body + b"".join(new + again), b"".join(again + new) + body):
            count = len(fields) + len(new) + 1
            payload = b"\xbf" + joined + BREAK if each.indefinite else bytes([0xA0 + count]) + joined
            assert refusal_of_payload(each, payload) == ("duplicate_key", 2)


def test_depth_is_counted_alike(forge: Forge, definite: Forge) -> None:
    for each in (forge, definite):
        each.verify(each.document(added_later=[[[0]]]))
        assert refusal(each, each.document(added_later=[[[[0]]]])) == ("nesting_too_deep", 2)


def test_unknown_fields_are_skipped_and_named(forge: Forge, definite: Forge) -> None:
    added = {"added_later": {"x": [1]}, "line\nbreak": None, 7: b""}
    for each in (forge, definite):
        entries = each.payload()[1:].removesuffix(BREAK if each.indefinite else b"")
        entries += b"".join(entry(name, value) for name, value in added.items())
        payload = b"\xbf" + entries + BREAK if each.indefinite else b"\xac" + entries
        verified = each.verify(each.envelope(payload))
        assert verified.document.unknown_fields == tuple(added)
        fields = verified.report.steps[1]
        assert fields.name == "Fields"
        assert fields.checked.endswith(r"', and fields that are not known here: 'added_later', 'line\nbreak', 7")
        assert len(verified.report.render().splitlines()) == 11
    assert forge.verify(forge.document()).document.unknown_fields == ()
    assert "not known" not in forge.verify(forge.document()).report.render()


def test_a_long_name_of_an_unknown_field_is_cut_in_the_report(forge: Forge) -> None:
    verified = forge.verify(forge.document(**{"x" * 5000: 1}))
    assert verified.document.unknown_fields == ("x" * 5000,)
    assert verified.report.steps[1].checked.endswith(f": '{'x' * 40}'")


def test_no_more_than_eight_unknown_fields_are_named(forge: Forge) -> None:
    verified = forge.verify(forge.document(**{f"f{number}": None for number in range(10)}))
    assert len(verified.document.unknown_fields) == 10
    assert verified.report.steps[1].checked.endswith("'f6', 'f7' and 2 more")

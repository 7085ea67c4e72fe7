from __future__ import annotations

import hashlib
import json
from base64 import b64encode

import pytest

from blindsight.attestation import Claims, expected_pcr16
from blindsight.errors import EvidenceError
from tests.blindsight.attestation.attestation_forge import ANY_FUNCTION, CLAIMS, PCRS, Forge


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def code(forge: Forge, document: bytes, **changes: object) -> str:
    with pytest.raises(EvidenceError) as caught:
        forge.verify(document, **changes)
    return caught.value.code


def test_user_data_is_canonical_json() -> None:
    claims = Claims(bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32, bytes([4]) * 32)
    one, two, three, four = (b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3, 4))
    assert claims.to_json().decode() == (
        f'{{"func_checksum":"{one}","key_configs_sha256":"{two}","model_sha256":"{three}",'
        f'"receipt_key_sha256":"{four}"}}'
    )
    assert Claims.parse(claims.to_json()) == claims


def test_pcr_16_is_the_documented_extension() -> None:
    function, model = bytes([1]) * 32, bytes([3]) * 32
    text = f'{{"func_checksum":"{b64encode(function).decode()}","model_sha256":"{b64encode(model).decode()}"}}'
    data = hashlib.sha384(text.encode()).digest()
    assert expected_pcr16(function, model) == hashlib.sha384(bytes(48) + data).digest()


def test_members_of_others_beside_ours_are_ignored(forge: Forge) -> None:
    user_data = json.dumps(json.loads(CLAIMS.to_json()) | {"key_checksum": "AA==", "n": 1}).encode()
    assert forge.verify(forge.document(user_data=user_data)).claims == CLAIMS


@pytest.mark.parametrize(
    "user_data",
    [b'{"func_checksum":"AAAA"}', b'{"key":"MIIC"}', b"[]", b"\xff", b"[" * 1024, b"{", b"null", b'"model_sha256"'],
)
def test_user_data_of_others(forge: Forge, user_data: bytes) -> None:
    document = forge.document(user_data=user_data)
    assert forge.verify(document, **ANY_FUNCTION).claims is None
    assert code(forge, document) == "claims_missing"
    assert code(forge, document, function_checksums=None, any_function=True) == "claims_missing"


@pytest.mark.parametrize("name", ["func_checksum", "key_configs_sha256", "model_sha256"])
@pytest.mark.parametrize(
    "value", [None, 1, "", "AAAA", b64encode(b"x" * 33).decode(), "!" + b64encode(b"x" * 32).decode(), "é"]
)
def test_malformed_claim(forge: Forge, name: str, value: object) -> None:
    user_data = json.dumps(json.loads(CLAIMS.to_json()) | {name: value}).encode()
    assert code(forge, forge.document(user_data=user_data)) == "malformed_claims"


def test_claim_given_twice(forge: Forge) -> None:
    again = b64encode(CLAIMS.model_sha256)
    user_data = CLAIMS.to_json()[:-1] + b',"model_sha256":"' + again + b'"}'
    assert code(forge, forge.document(user_data=user_data)) == "malformed_claims"


def test_claims_must_be_measured(forge: Forge) -> None:
    without = {index: value for index, value in PCRS.items() if index != 16}
    assert code(forge, forge.document(pcrs=without)) == "claims_pcr_missing"
    swapped = expected_pcr16(CLAIMS.model_sha256, CLAIMS.func_checksum)
    assert code(forge, forge.document(pcrs=PCRS | {16: swapped})) == "claims_pcr_mismatch"


def test_claims_must_be_accepted(forge: Forge) -> None:
    document, other = forge.document(), frozenset(["ab" * 32])
    assert code(forge, document, function_checksums=other) == "function_not_accepted"
    assert code(forge, document, model_digests=other) == "model_not_accepted"

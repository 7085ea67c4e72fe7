"""Acceptance: the whole way of a secret, through TLS, a signed request, an attestation document, a key policy and CMS.

Every refusal is the stand-in's, by the policy that `blindsight kms policy` wrote.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blindsight.errors import CapeError, KmsError
from enclave_runtime.cape.accounts import AccountVault
from enclave_runtime.cape.rootsecret import RootSecret
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.kms import envelope
from tests.enclave_runtime.cape.test_accounts import account
from tests.support.kms import ADMIN, CONTEXT, KEY, OTHER_KEY, OWNER, PCRS, ROLE, StandIn

if TYPE_CHECKING:
    from pathlib import Path

ROOT_SECRET = CONTEXT | {"blindsight:purpose": "root-secret"}


def refusal(error: pytest.ExceptionInfo[KmsError]) -> tuple[str, str]:
    """The code, and the service's own name of it."""
    return error.value.code, str(error.value).rstrip(".").rpartition(" ")[2]


def decrypt_request(kms: StandIn, document: bytes | None, *, blob: bytes, context: Any = None) -> dict[str, Any]:
    members: dict[str, Any] = {
        "KeyId": KEY,
        "CiphertextBlob": base64.b64encode(blob).decode(),
        "EncryptionContext": context or ROOT_SECRET,
    }
    if document is not None:
        members["Recipient"] = {
            "AttestationDocument": base64.b64encode(document).decode(),
            "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        }
    return members


def public_key(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_secret_is_released_to_the_measured_enclave(kms: StandIn):
    blob = kms.blob("root-secret")
    secret = kms.client().decrypt(blob, "root-secret")
    assert secret == kms.service.keys.decrypt(KEY, blob, ROOT_SECRET)
    assert len(secret) == 32


def test_two_enclaves_of_one_measurement_share_the_accounts(kms: StandIn):
    """The second has other keys, another module and another start: only the measurements are the same."""
    blob = kms.blob("root-secret")
    first, second, ada = kms.client(), kms.client(kms.producer()), account()
    record = AccountVault(RootSecret(first.decrypt(blob, "root-secret"))).seal(ada)
    assert AccountVault(RootSecret(second.decrypt(blob, "root-secret"))).open(record) == ada


def test_another_root_secret_opens_no_account(kms: StandIn):
    """What a host can do: give a ciphertext of another root secret. Then there are no accounts, and none is shown."""
    ada, client = account(), kms.client()
    record = AccountVault(RootSecret(client.decrypt(kms.blob("root-secret"), "root-secret"))).seal(ada)
    with pytest.raises(CapeError) as error:
        AccountVault(RootSecret(client.decrypt(kms.blob("root-secret"), "root-secret"))).open(record)
    assert error.value.code == "damaged_record"


@pytest.mark.parametrize("index", sorted(PCRS))
def test_another_measurement_gets_nothing(kms: StandIn, index: int):
    changed = kms.producer(PCRS | {index: b"\x0d" * 48})
    with pytest.raises(KmsError) as error:
        kms.client(changed).decrypt(kms.blob("root-secret"), "root-secret")
    assert refusal(error) == ("kms_refused", "AccessDeniedException")


@pytest.mark.parametrize("arn", [ROLE, ADMIN, OWNER])
def test_no_principal_decrypts_without_an_enclave(kms: StandIn, arn: str):
    answer = kms.as_principal(arn, "Decrypt", decrypt_request(kms, None, blob=kms.blob("root-secret")))
    assert (answer.status, json.loads(answer.body)["__type"]) == (400, "AccessDeniedException")


@pytest.mark.parametrize("arn", [ADMIN, OWNER])
def test_no_other_principal_decrypts_with_the_enclaves_document(kms: StandIn, arn: str, enclave_key: Any):
    document = kms.producer().attest(nonce=None, user_data=None, public_key=public_key(enclave_key))
    answer = kms.as_principal(arn, "Decrypt", decrypt_request(kms, document, blob=kms.blob("root-secret")))
    assert json.loads(answer.body)["__type"] == "AccessDeniedException"


def test_a_document_is_refused_when_it_is_old(kms: StandIn, enclave_key: Any):
    document = kms.producer().attest(nonce=None, user_data=None, public_key=public_key(enclave_key))
    kms.clock.moved = timedelta(seconds=301)
    answer = kms.as_principal(ROLE, "Decrypt", decrypt_request(kms, document, blob=kms.blob("root-secret")))
    assert answer.status == 400
    assert "evidence_too_old" in json.loads(answer.body)["message"]


def test_a_replayed_document_opens_nothing_for_the_host(kms: StandIn, enclave_key: Any):
    """As with the real service, which has no nonce: the host gets an answer, for the enclave's key."""
    document = kms.producer().attest(nonce=None, user_data=None, public_key=public_key(enclave_key))
    request = decrypt_request(kms, document, blob=kms.blob("root-secret"))
    for _ in range(2):
        answer = json.loads(kms.as_principal(ROLE, "Decrypt", request).body)
        assert answer.keys() == {"KeyId", "EncryptionAlgorithm", "CiphertextForRecipient"}
        sealed = base64.b64decode(answer["CiphertextForRecipient"])
        with pytest.raises(KmsError) as error:
            envelope.unseal(sealed, rsa.generate_private_key(65537, 2048))
        assert error.value.code == "kms_envelope_invalid"


def test_a_foreign_document_is_refused(kms: StandIn, tmp_path: Path):
    foreign = SimulatedProducer(tmp_path, PCRS, kms.clock)
    with pytest.raises(KmsError) as error:
        kms.client(foreign).decrypt(kms.blob("root-secret"), "root-secret")
    assert refusal(error) == ("kms_document_refused", "ValidationException")


def test_a_document_whose_certificates_have_expired_is_refused(kms: StandIn, enclave_key: Any):
    document = kms.producer().attest(nonce=None, user_data=None, public_key=public_key(enclave_key))
    kms.clock.moved = timedelta(hours=4)
    answer = kms.as_principal(ROLE, "Decrypt", decrypt_request(kms, document, blob=kms.blob("root-secret")))
    assert "certificate_expired" in json.loads(answer.body)["message"]


def test_a_debug_enclave_gets_nothing(kms: StandIn):
    debug = kms.producer(dict.fromkeys(PCRS, bytes(48)))
    with pytest.raises(KmsError) as error:
        kms.client(debug).decrypt(kms.blob("root-secret"), "root-secret")
    assert refusal(error) == ("kms_document_refused", "ValidationException")


def test_an_edited_document_is_refused(kms: StandIn, enclave_key: Any):
    document = kms.producer().attest(nonce=None, user_data=None, public_key=public_key(enclave_key))
    other = rsa.generate_private_key(65537, 3072)
    edited = document.replace(public_key(enclave_key), public_key(other))
    assert edited != document
    answer = kms.as_principal(ROLE, "Decrypt", decrypt_request(kms, edited, blob=kms.blob("root-secret")))
    assert "invalid_signature" in json.loads(answer.body)["message"]


@pytest.mark.parametrize(
    "key", [None, b"\x30\x00", public_key(ec.generate_private_key(ec.SECP256R1()))], ids=["none", "no key", "P-256"]
)
def test_a_document_without_an_rsa_key_is_refused(kms: StandIn, key: bytes | None):
    document = kms.producer().attest(nonce=None, user_data=None, public_key=key)
    answer = kms.as_principal(ROLE, "Decrypt", decrypt_request(kms, document, blob=kms.blob("root-secret")))
    assert json.loads(answer.body)["__type"] == "ValidationException"


def test_a_blob_of_another_key_is_refused(kms: StandIn):
    with pytest.raises(KmsError) as error:
        kms.client().decrypt(kms.blob("root-secret", key=OTHER_KEY), "root-secret")
    assert refusal(error) == ("kms_ciphertext_refused", "InvalidCiphertextException")


@pytest.mark.parametrize(
    "context",
    [
        {"blindsight:purpose": "root-secret"},
        ROOT_SECRET | {"blindsight:deployment": "other"},
        ROOT_SECRET | {"more": "x"},
    ],
    ids=["less", "other", "more"],
)
def test_a_blob_of_another_context_is_refused(kms: StandIn, context: dict[str, str]):
    with pytest.raises(KmsError) as error:
        kms.client().decrypt(kms.blob("root-secret", context=context), "root-secret")
    assert refusal(error) == ("kms_ciphertext_refused", "InvalidCiphertextException")


def test_a_bundles_key_is_taken_for_no_root_secret(kms: StandIn):
    """The owner of a bundle knows its key. A host that hands it in as root secret would know the accounts' keys."""
    _, blob = kms.data_key()
    with pytest.raises(KmsError) as error:
        kms.client().decrypt(blob, "root-secret")
    assert refusal(error) == ("kms_ciphertext_refused", "InvalidCiphertextException")


@pytest.mark.parametrize("cut", [1, 12, 40])
def test_a_damaged_blob_is_refused(kms: StandIn, cut: int):
    with pytest.raises(KmsError) as error:
        kms.client().decrypt(kms.blob("root-secret")[:-cut], "root-secret")
    assert refusal(error) == ("kms_ciphertext_refused", "InvalidCiphertextException")


@pytest.mark.parametrize("arn", [ROLE, ADMIN, OWNER])
def test_none_makes_a_ciphertext_of_a_known_root_secret(kms: StandIn, arn: str):
    """What `rootsecret` rests on: a host that could make one would run an enclave whose accounts it can read."""
    chosen = {"KeyId": KEY, "Plaintext": base64.b64encode(bytes(32)).decode(), "EncryptionContext": ROOT_SECRET}
    known = {"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": ROOT_SECRET}
    for operation, members in (("Encrypt", chosen), ("GenerateDataKey", known)):
        answer = json.loads(kms.as_principal(arn, operation, members).body)
        assert answer["__type"] == "AccessDeniedException", operation


def test_only_the_owner_makes_a_bundles_key(kms: StandIn):
    members = {"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": CONTEXT | {"blindsight:purpose": "bundle-key"}}
    answers = {arn: kms.as_principal(arn, "GenerateDataKey", members).status for arn in (ROLE, ADMIN, OWNER)}
    assert answers == {ROLE: 400, ADMIN: 400, OWNER: 200}
    key, blob = kms.data_key()
    assert kms.client().decrypt(blob, "bundle-key") == key

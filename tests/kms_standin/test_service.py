"""The stand-in's door: signatures, its marks, and that it is what it says."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kms_standin import HEADER, NOTICE
from tests.support.kms import ADMIN, CONTEXT, KEY, ROLE, StandIn

if TYPE_CHECKING:
    from pathlib import Path

MAKE = {
    "KeyId": KEY,
    "KeySpec": "AES_256",
    "EncryptionContext": CONTEXT | {"blindsight:purpose": "root-secret"},
}


def made(kms: StandIn, **changed: Any) -> str:
    answer = json.loads(kms.as_principal(ADMIN, "GenerateDataKeyWithoutPlaintext", MAKE, **changed).body)
    return str(answer.get("__type", "made"))


@pytest.mark.parametrize(
    ("changed", "answered"),
    [
        ({}, "made"),
        ({"secret": "another"}, "InvalidSignatureException"),
        ({"token": "another"}, "UnrecognizedClientException"),
        ({"late": timedelta(minutes=-6)}, "InvalidSignatureException"),
        ({"late": timedelta(minutes=6)}, "InvalidSignatureException"),
        ({"body": json.dumps(MAKE | {"KeySpec": "AES_128"}).encode()}, "InvalidSignatureException"),
        ({"headers": {"X-Amz-Target": "TrentService.Decrypt"}}, "InvalidSignatureException"),
        ({"headers": {"Host": "elsewhere"}}, "InvalidSignatureException"),
        ({"headers": {"Authorization": ""}}, "IncompleteSignatureException"),
        ({"headers": {"X-Amz-Target": "TrentService.ReEncrypt"}}, "UnknownOperationException"),
    ],
)
def test_only_signed_requests_count(kms: StandIn, changed: dict[str, Any], answered: str):
    assert made(kms, **changed) == answered


@pytest.mark.parametrize(
    "changed",
    [
        {"GrantTokens": ["x"]},
        {"KeyId": KEY.replace("1234abcd", "00000000")},
        {"KeyId": "alias/mine"},
        {"KeySpec": "AES_128"},
        {"NumberOfBytes": 32},
        {"EncryptionContext": {"a": 1}},
    ],
)
def test_what_it_does_not_know_is_refused(kms: StandIn, changed: dict[str, Any]):
    assert kms.as_principal(ADMIN, "GenerateDataKeyWithoutPlaintext", MAKE | changed).status == 400


def test_another_key_encryption_algorithm_is_refused(kms: StandIn):
    blob = base64.b64encode(kms.blob("root-secret")).decode()
    document = base64.b64encode(kms.producer().attest(nonce=None, user_data=None, public_key=b"x")).decode()
    recipient = {"AttestationDocument": document, "KeyEncryptionAlgorithm": "RSAES_PKCS1_V1_5"}
    asked = {**MAKE, "CiphertextBlob": blob, "Recipient": recipient}
    answer = kms.as_principal(ROLE, "Decrypt", {name: asked[name] for name in asked if name != "KeySpec"})
    assert json.loads(answer.body)["__type"] == "ValidationException"


@pytest.mark.parametrize("path", ["/", "/elsewhere"])
def test_every_answer_says_what_it_is(kms: StandIn, path: str):
    for address, tls in ((kms.settings.connect, kms.settings.tls()), (kms.settings.credentials, None)):
        host, port = "localhost", int(address.rpartition(":")[2])
        connection = (
            http.client.HTTPSConnection(host, port, context=tls, timeout=10)
            if isinstance(tls, ssl.SSLContext)
            else http.client.HTTPConnection(host, port, timeout=10)
        )
        for method in ("GET", "POST", "PUT", "DELETE"):
            connection.request(method, path, body=b"")
            answer = connection.getresponse()
            answer.read()
            assert answer.getheader(HEADER) == NOTICE, (address, method)
            connection.close()


def test_the_command_says_what_it_is_and_refuses_a_leaky_policy(tmp_path: Path):
    policy = tmp_path / "policy.json"
    anyone = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [anyone]}))
    arguments = ["--state", tmp_path / "s", "--key", KEY, "--policy", policy, "--root", policy, "--role", ROLE]
    done = subprocess.run(
        [sys.executable, "-m", "kms_standin", "serve", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "without a condition on kms:RecipientAttestation" in done.stderr
    described = subprocess.run(
        [sys.executable, "-m", "kms_standin", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert NOTICE in " ".join(described.stdout.split())

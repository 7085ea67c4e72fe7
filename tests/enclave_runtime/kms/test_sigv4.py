"""Signatures: AWS's published test suite, and what AWS's own signer makes of our kind of request."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from enclave_runtime.kms import sigv4
from enclave_runtime.kms.credentials import Credentials

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sigv4.json").read_text("utf-8"))

SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SUITE_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


def signature(headers: dict[str, str], body: bytes, token: str | None = None) -> str:
    credentials = Credentials("AKIDEXAMPLE", SUITE_SECRET, token)
    sent = sigv4.signed(headers, body, credentials, region="us-east-1", service="service", at=SUITE_TIME)
    return sent["Authorization"].rpartition("=")[2]


SESSION = "AQoDYXdzEPT//////////wEXAMPLE"


def test_the_published_suite():
    """aws-sig-v4-test-suite: `post-vanilla` and `post-x-www-form-urlencoded`."""
    host = {"Host": "example.amazonaws.com"}
    assert signature(host, b"") == "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    form = host | {"Content-Type": "application/x-www-form-urlencoded"}
    assert signature(form, b"Param1=value1") == "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"


def test_the_published_key():
    """IAM User Guide, "Examples of how to derive a signing key"."""
    key = sigv4.signing_key(SUITE_SECRET, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["access_key_id"])
def test_what_botocore_signs(case: dict[str, Any]):
    credentials = Credentials(case["access_key_id"], case["secret"], case["token"])
    at = datetime.fromisoformat(case["at"])
    body = bytes.fromhex(case["body"])
    sent = sigv4.signed(case["headers"], body, credentials, region=case["region"], service="kms", at=at)
    assert sent["Authorization"] == case["authorization"]


def test_what_is_signed_is_what_is_sent():
    sent = sigv4.signed(
        {"Host": "h"}, b"x", Credentials("A", "s", "t"), region="r", service="kms", at=datetime.now(UTC)
    )
    assert sent.keys() == {"Host", "X-Amz-Date", "X-Amz-Security-Token", "Authorization"}
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in sent["Authorization"]


def test_credentials_show_no_secret():
    shown = repr(Credentials("AKIDEXAMPLE", SUITE_SECRET, SESSION))
    assert SUITE_SECRET not in shown
    assert SESSION not in shown

"""The role's credentials: fetched by IMDSv2, kept until shortly before their end, and nothing odd let into a header."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import KmsError
from enclave_runtime.kms import credentials as module
from enclave_runtime.kms.connect import connector
from enclave_runtime.kms.credentials import InstanceCredentials
from enclave_runtime.kms.transport import Answer, Request

if TYPE_CHECKING:
    from tests.support.kms import StandIn


def test_they_are_fetched_once_and_again_before_they_end(kms: StandIn, monkeypatch: pytest.MonkeyPatch):
    kept = InstanceCredentials(connector(kms.settings.credentials), kms.clock)
    first = kept.current()
    assert (first.access_key_id, first.secret_access_key) == ("AKID0", kms.role.access_key.secret)
    kms.clock.moved = timedelta(hours=5, minutes=50)
    assert kept.current() is first
    kms.clock.moved = timedelta(hours=5, minutes=56)
    renewed = kept.current()
    assert renewed is not first
    assert renewed.expires > first.expires


GOOD = {
    "Code": "Success",
    "AccessKeyId": "A",
    "SecretAccessKey": "s",
    "Token": "t",
    "Expiration": "2040-01-01T00:00:00Z",
    "LastUpdated": "2026-01-01T00:00:00Z",
}


def answers(token: bytes = b"tok", role: bytes = b"role", document: Any = GOOD, status: int = 200) -> Any:
    given = [token, role, document if isinstance(document, bytes) else json.dumps(document).encode()]
    return lambda *_, **__: Answer(status, given.pop(0))


@pytest.mark.parametrize(
    "answered",
    [
        answers(status=403),
        answers(token=b""),
        answers(token=b"a\r\nX: y"),
        answers(token=b"a" * 300),
        answers(role=b""),
        answers(role=b"a\nb"),
        answers(role=b"../../x"),
        answers(document=b""),
        answers(document=[]),
        answers(document=GOOD | {"Code": "AssumeRoleUnauthorizedAccess"}),
        answers(document=GOOD | {"Token": "a\r\nX-Evil: b"}),
        answers(document=GOOD | {"Token": ""}),
        answers(document=GOOD | {"AccessKeyId": None}),
        answers(document=GOOD | {"SecretAccessKey": "a b"}),
        answers(document=GOOD | {"Expiration": "soon"}),
        answers(document={name: value for name, value in GOOD.items() if name != "Token"}),
    ],
)
def test_odd_answers_are_refused(kms: StandIn, monkeypatch: pytest.MonkeyPatch, answered: Any):
    monkeypatch.setattr(module, "exchange", answered)
    with pytest.raises(KmsError) as error:
        InstanceCredentials(connector("tcp://127.0.0.1:1"), kms.clock).current()
    assert error.value.code == "credentials_unavailable"


def test_the_session_comes_first(kms: StandIn, monkeypatch: pytest.MonkeyPatch):
    asked: list[Request] = []
    given = answers()

    def noting(connect: Any, request: Request, **options: Any) -> Answer:
        asked.append(request)
        return given(connect, request, **options)

    monkeypatch.setattr(module, "exchange", noting)
    InstanceCredentials(connector("tcp://127.0.0.1:1"), kms.clock).current()
    assert [request.method for request in asked] == ["PUT", "GET", "GET"]
    assert [request.headers.get("X-aws-ec2-metadata-token") for request in asked] == [None, "tok", "tok"]
    assert asked[2].path == "/latest/meta-data/iam/security-credentials/role"


def test_no_metadata_service(kms: StandIn):
    with pytest.raises(KmsError) as error:
        kms.client(credentials="unix:///nowhere/at/all").decrypt(b"blob", "root-secret")
    assert error.value.code == "credentials_unavailable"

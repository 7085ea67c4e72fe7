"""What the enclave does with a service that errs, lies, stalls or is another one."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import KmsError
from enclave_runtime.kms import client as clients
from enclave_runtime.kms import transport
from enclave_runtime.kms.client import KmsClient
from enclave_runtime.kms.connect import connector
from enclave_runtime.kms.credentials import InstanceCredentials
from enclave_runtime.kms.transport import Answer, ExchangeFailed, Request, exchange
from kms_standin import authority
from kms_standin import envelope as standin
from kms_standin.server import service_listener
from tests.support.kms import KEY, OTHER_KEY, StandIn, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = bytes(range(32))


class Scripted:
    """A service that answers as it is told, and notes what it was sent."""

    def __init__(self, *answers: Answer | dict[str, Any]) -> None:
        self.answers, self.asked = list(answers), list[Request]()

    def __call__(self, _: Any, request: Request, **__: Any) -> Answer:
        self.asked.append(request)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Answer) else Answer(200, json.dumps(answer).encode())


@pytest.fixture
def good(enclave_key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """An answer as it should be."""
    sealed = standin.seal(SECRET, enclave_key.public_key())
    return {
        "KeyId": KEY,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "CiphertextForRecipient": base64.b64encode(sealed).decode(),
    }


def scripted(kms: StandIn, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> tuple[KmsClient, Scripted, list[float]]:
    service, pauses = Scripted(*answers), list[float]()
    monkeypatch.setattr(clients, "exchange", service)
    credentials = InstanceCredentials(connector(kms.settings.credentials), kms.clock)
    client = KmsClient(
        kms.settings, kms.producer(), credentials, connector(kms.settings.connect), clock=kms.clock, sleep=pauses.append
    )
    return client, service, pauses


def exception(name: str, status: int = 400) -> Answer:
    return Answer(status, json.dumps({"__type": name, "message": "about a secret"}).encode())


def test_an_answer_is_opened(kms: StandIn, monkeypatch: pytest.MonkeyPatch, good: dict[str, Any]):
    for plaintext in ({}, {"Plaintext": None}, {"Plaintext": ""}):
        client, service, _ = scripted(kms, monkeypatch, good | plaintext)
        assert client.decrypt(b"blob", "root-secret") == SECRET
    body = json.loads(service.asked[0].body)
    assert body.keys() == {"CiphertextBlob", "EncryptionContext", "KeyId", "Recipient"}
    assert body["EncryptionContext"] == {"blindsight:deployment": "tests", "blindsight:purpose": "root-secret"}
    assert body["KeyId"] == KEY


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"KeyId": OTHER_KEY}, "kms_other_key"),
        ({"KeyId": KEY.rpartition("/")[2]}, "kms_other_key"),
        ({"KeyId": None}, "kms_other_key"),
        ({"Plaintext": base64.b64encode(SECRET).decode()}, "kms_answer_invalid"),
        ({"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, "kms_answer_invalid"),
        ({"EncryptionAlgorithm": None}, "kms_answer_invalid"),
        ({"CiphertextForRecipient": None}, "kms_answer_invalid"),
        ({"CiphertextForRecipient": "AA=A"}, "kms_answer_invalid"),
        ({"CiphertextForRecipient": "AAAA"}, "kms_envelope_invalid"),
    ],
)
def test_another_answer_is_refused(
    kms: StandIn, monkeypatch: pytest.MonkeyPatch, good: dict[str, Any], changed: dict[str, Any], code: str
):
    client, _, _ = scripted(kms, monkeypatch, good | changed)
    with pytest.raises(KmsError) as error:
        client.decrypt(b"blob", "root-secret")
    assert error.value.code == code


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_secret_of_another_length_is_refused(
    kms: StandIn, monkeypatch: pytest.MonkeyPatch, good: dict[str, Any], enclave_key: rsa.RSAPrivateKey, length: int
):
    sealed = base64.b64encode(standin.seal(bytes(length), enclave_key.public_key())).decode()
    client, _, _ = scripted(kms, monkeypatch, good | {"CiphertextForRecipient": sealed})
    with pytest.raises(KmsError) as error:
        client.decrypt(b"blob", "root-secret")
    assert error.value.code == "kms_answer_invalid"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"KeyId": 1, "KeyId": 2}', b"\xff", b"[" * 5000])
def test_what_is_no_answer_is_refused(kms: StandIn, monkeypatch: pytest.MonkeyPatch, body: bytes):
    client, _, _ = scripted(kms, monkeypatch, Answer(200, body))
    with pytest.raises(KmsError) as error:
        client.decrypt(b"blob", "root-secret")
    assert error.value.code == "kms_answer_invalid"


def test_it_tries_again_when_it_is_throttled_only(kms: StandIn, monkeypatch: pytest.MonkeyPatch, good: dict[str, Any]):
    throttled = [exception("ThrottlingException"), Answer(429, b"slow down"), exception("ThrottlingException")]
    client, service, pauses = scripted(kms, monkeypatch, *throttled, good)
    assert client.decrypt(b"blob", "root-secret") == SECRET
    assert pauses == [0.5, 1.0, 2.0]
    assert len({request.headers["Authorization"] for request in service.asked}) >= 1

    client, service, pauses = scripted(kms, monkeypatch, *throttled, exception("ThrottlingException"), good)
    with pytest.raises(KmsError) as error:
        client.decrypt(b"blob", "root-secret")
    assert (error.value.code, len(service.asked), error.value.retryable) == ("kms_throttled", 4, True)


@pytest.mark.parametrize(
    ("answer", "named", "next_step"),
    [
        (exception("AccessDeniedException"), "AccessDeniedException", "key's policy"),
        (exception("com.amazonaws.kms#DisabledException"), "DisabledException", "Enable the key"),
        (exception("NotFoundException"), "NotFoundException", "Enable the key"),
        (exception("KMSInvalidStateException"), "KMSInvalidStateException", "Enable the key"),
        (exception("InvalidCiphertextException"), "InvalidCiphertextException", "under this key and context"),
        (exception("IncorrectKeyException"), "IncorrectKeyException", "under this key and context"),
        (exception("ValidationException"), "ValidationException", "without debug mode"),
        (exception("InvalidSignatureException"), "InvalidSignatureException", "clock"),
        (exception("ExpiredTokenException"), "ExpiredTokenException", "clock"),
        (exception("KMSInternalException", 500), "KMSInternalException", "AWS's status"),
        (exception("Evil\nException"), "status 400", "AWS's status"),
        (Answer(403, b"<html>"), "status 403", "AWS's status"),
        (Answer(301, b""), "status 301", "AWS's status"),
        (Answer(201, b"{}"), "status 201", "AWS's status"),
        (Answer(400, b'{"__type": 7}'), "status 400", "AWS's status"),
    ],
)
def test_a_refusal_is_named_and_not_quoted(  # noqa: PLR0917 -- pytest gives them by name
    kms: StandIn, monkeypatch: pytest.MonkeyPatch, good: dict[str, Any], answer: Answer, named: str, next_step: str
):
    client, service, pauses = scripted(kms, monkeypatch, answer, good)
    with pytest.raises(KmsError) as error:
        client.decrypt(b"blob", "root-secret")
    assert (len(service.asked), pauses) == (1, [])
    assert named in str(error.value)
    assert next_step in error.value.next_step
    assert "secret released" not in str(error.value)
    assert "about a secret" not in str(error.value)


def test_nothing_secret_is_logged_or_said(kms: StandIn, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    blob = kms.blob("root-secret")
    client = kms.client()
    secret = client.decrypt(blob, "root-secret")
    with pytest.raises(KmsError) as error:
        client.decrypt(blob, "bundle-key")
    access = kms.role.access_key
    for shown in (caplog.text, str(error.value), repr(vars(client))):
        for hidden in (secret.hex(), str(secret), base64.b64encode(secret).decode(), access.secret, str(access.token)):
            assert hidden not in shown


# What carries the bytes.


@pytest.mark.parametrize("changed", [{"endpoint": "kms.eu-central-1.amazonaws.com"}, {"trusted_roots": None}])
def test_another_server_than_the_endpoint_gets_nothing(kms: StandIn, changed: dict[str, Any], tmp_path: Path):
    """The host forwards to a server of its own: with another name, or of another authority."""
    if "trusted_roots" in changed:
        authority.server_tls(tmp_path, "localhost")
        changed = {"trusted_roots": (tmp_path / authority.CERTIFICATE).read_text("ascii")}
    with pytest.raises(KmsError) as error:
        kms.client(**changed).decrypt(kms.blob("root-secret"), "root-secret")
    assert error.value.code == "kms_unreachable"
    assert "SSLCertVerificationError" in str(error.value)


def test_amazons_roots_are_the_ones_that_count_by_default(kms: StandIn):
    settings = replace(kms.settings, trusted_roots=type(kms.settings).trusted_roots)
    assert len(settings.tls().get_ca_certs()) == 4
    assert {
        dict(name[0] for name in each["subject"])["organizationName"] for each in settings.tls().get_ca_certs()
    } == {"Amazon"}
    assert settings.tls().verify_mode == ssl.CERT_REQUIRED
    assert settings.tls().check_hostname
    with pytest.raises(KmsError, match="SSLCertVerificationError"):
        kms.client(trusted_roots=settings.trusted_roots).decrypt(b"blob", "root-secret")


def test_a_server_without_tls_gets_nothing(kms: StandIn):
    listener = service_listener(kms.service, 0, None)
    with running(listener.http), pytest.raises(KmsError) as error:
        kms.client(connect=f"tcp://127.0.0.1:{listener.port}").decrypt(b"blob", "root-secret")
    assert error.value.code == "kms_unreachable"


@pytest.fixture
def raw() -> Iterator[Any]:
    """A server that answers each connection with given bytes, one after the other, and stays."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []
    over = threading.Event()

    def start(chunks: list[bytes], pause: float = 0.0) -> Any:
        listener = socket.create_server(("127.0.0.1", 0))
        servers.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for chunk in chunks:
                    try:
                        connection.sendall(chunk)
                    except OSError:
                        return
                    if over.wait(pause):
                        return
                connection.shutdown(socket.SHUT_WR)
                over.wait(5)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return connector(f"tcp://127.0.0.1:{listener.getsockname()[1]}")

    yield start
    over.set()
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        HEAD + b"Content-Length: 100\r\n\r\nshort",
        HEAD + b"Content-Length: 300000\r\n\r\n" + bytes(300_000),
        HEAD + b"\r\n" + bytes(300_000),
        HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        HEAD + b"X: a\r\n" * 200 + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n",
    ],
    ids=["nothing", "no HTTP", "cut off", "too long", "too long unsaid", "long header", "many headers", "bad chunk"],
)
def test_answers_are_bounded_and_whole(raw: Any, answer: bytes):
    with pytest.raises(ExchangeFailed):
        exchange(raw([answer]), Request("GET", "h"), tls=None, seconds=5)


def test_a_whole_answer_is_taken(raw: Any):
    answer = exchange(raw([HEAD + b"Content-Length: 2\r\n\r\nok"]), Request("GET", "h"), tls=None, seconds=5)
    assert answer == Answer(200, b"ok")


def test_a_byte_now_and_then_does_not_outlast_the_deadline(raw: Any):
    connect = raw([HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 1000], pause=0.05)
    began = time.monotonic()
    with pytest.raises(ExchangeFailed):
        exchange(connect, Request("GET", "h"), tls=None, seconds=0.4)
    assert time.monotonic() - began < 3


def test_nothing_listens(kms: StandIn):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(KmsError) as error:
        kms.client(connect=f"tcp://127.0.0.1:{port}").decrypt(b"blob", "root-secret")
    assert (error.value.code, error.value.retryable) == ("kms_unreachable", True)
    assert transport.DEADLINE_SECONDS <= 30

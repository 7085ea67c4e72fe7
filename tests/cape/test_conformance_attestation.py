"""Statements 28 to 34: attestation documents."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from blindsight_cli import localca
from blindsight_cli.local_trust.environment import trusting
from enclave_runtime.evidence.simulated import SimulatedProducer
from tests.support.cape_client import (
    PROTECTED,
    ClientError,
    Conversation,
    Document,
    JsCape,
    check_chain,
    check_signature,
    parse_document,
    start_frame,
)
from tests.support.cape_front import owner
from tests.support.fake_cape_host import PCRS, running_cape_host
from tests.support.raw_websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cape_host import CapeHost, Deployed, Person

RUN_UNDER = """
    cape = Cape()
    cape._root_cert = given["root"].encode()
    try:
        answer(cape.run(given["function"], given["token"], b"x").decode())
    except Exception as error:
        answer(type(error).__name__)
"""


def user_key(host: CapeHost, username: str) -> tuple[dict[str, Any], Document]:
    response = httpx2.get(f"{host.plain_url}/v1/user/{username}/key", trust_env=False)
    assert response.status_code == 200
    body = response.json()
    return body, parse_document(base64.b64decode(body["attestation_document"], validate=True))


def test_28_untagged_sign1(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """Untagged, four items, protected `a1013822`, 96 bytes of signature. (py, js: pycape, raw client)"""
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        documents = [js.document]
    documents.append(user_key(cape_host, "ada")[1])
    for document in documents:
        assert document.raw[:7] == bytes.fromhex("8444a1013822a0")
        protected, unprotected, _, signature = document.items
        assert (protected, unprotected, len(signature)) == (PROTECTED, {}, 96)
        check_signature(document)
    # pycape verifies it, too, before it answers.
    script = 'answer(Cape().run(given["function"], given["token"], b"x").decode())'
    assert pycape(script, function=echo.id, token=ada.token()) == "x"


@pytest.mark.parametrize(
    "nonce",
    [base64.b64encode(bytes(range(16))), b"9208371788411685", bytes(range(12)), b"", base64.b64decode("12345678")],
    ids=["cli", "py", "js", "none", "old-py"],
)
def test_29_nonces(cape_host: CapeHost, ada: Person, echo: Deployed, nonce: bytes) -> None:
    """Nonces of 24 characters, 16 digits, 12 and 6 bytes come back as they are. (cli, py, js, old py: raw client)"""
    socket = WebSocket(cape_host.plain_url, f"/v1/run/{echo.id}", ["cape.runtime", ada.token()])
    with Conversation(socket, start_frame(nonce)) as opened:
        assert opened.document.fields["nonce"] == nonce


def test_30_chain(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """The chain verifies under the substituted root; pycape is as published. (py, js: pycape, raw client)"""
    root = cape_host.root.public_bytes(Encoding.PEM).decode()
    assert pycape(RUN_UNDER, function=echo.id, token=ada.token(), root=root) == "x"
    script = """
        import base64, hashlib, importlib.metadata
        installed = importlib.metadata.distribution("pycape")
        modules = [file for file in installed.files if file.parts[0] == "pycape" and file.suffix == ".py"]
        for file in modules:
            digest = hashlib.sha256(file.locate().read_bytes()).digest()
            assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == file.hash.value, file
        cape = Cape()
        ran = cape.run(given["function"], given["token"], b"x").decode()
        answer([installed.version, len(modules), ran, cape._root_cert.decode()])
    """
    version, modules, ran, used = pycape(script, function=echo.id, token=ada.token())
    assert (version, ran, used) == ("3.1.1", "x", root)
    assert modules > 8
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        check_chain(js.document, cape_host.root, at=datetime.now(UTC))


def test_31_wrong_root(
    cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed, tmp_path: Path
) -> None:
    """Under another root of the same name, no client accepts it. (py, js, cli: pycape, raw client, cape)"""
    SimulatedProducer(tmp_path, PCRS)
    pem = (tmp_path / "simulated_root.pem").read_bytes()
    pem = pem[pem.index(b"-----BEGIN CERTIFICATE") :]
    (tmp_path / "root.pem").write_bytes(pem)
    other = x509.load_pem_x509_certificate(pem)
    assert other.subject == cape_host.root.subject
    refusal = pycape(RUN_UNDER, function=echo.id, token=ada.token(), root=pem.decode())
    assert refusal == "X509StoreContextError"
    with pytest.raises(ClientError, match="chain"):
        cape_host.js(f"/v1/run/{echo.id}", ada.token(), root=other)
    said = ada.cape("run", echo.id, "x", "--root", str(tmp_path / "root.pem"), status=1).err
    assert "does not descend from the trusted root\n" in said


def test_32_types(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """`timestamp` is an unsigned integer, `user_data` a byte string of JSON. (cli, js: raw client)"""
    for path in (f"/v1/run/{echo.id}", "/v1/key", "/v1/test"):
        with cape_host.js(path, ada.token("account")) as js:
            payload = js.document.items[2]
            _, _, after = payload.partition(b"\x69timestamp")
            assert after[0] == 0x1B  # Eight bytes, unsigned.
            milliseconds = int.from_bytes(after[1:9])
            assert abs(milliseconds / 1000 - datetime.now(UTC).timestamp()) < 60
            _, _, after = payload.partition(b"\x69user_data")
            assert after[0] >> 5 == 2  # A byte string.
            assert isinstance(json.loads(js.document.fields["user_data"]), dict)
            assert (js.document.fields["digest"], type(js.document.fields["module_id"])) == ("SHA384", str)


def test_33_expired_key_document(pycape: Callable[..., Any], ada: Person, tmp_path: Path) -> None:
    """A user's key document verifies after its leaf has expired. (py, js, cli: pycape, raw client, cape)"""
    then = datetime.now(UTC) - timedelta(days=400)
    producer = SimulatedProducer(tmp_path / "enclave", PCRS, clock=lambda: then)
    localca.ensure(tmp_path / "tls", ["localhost"])
    with running_cape_host(tmp_path / "enclave") as host:
        host.producer = producer
        someone = owner("ada")
        host.accounts["ada"] = someone.public
        trust = trusting(tmp_path, host.url, {})
        changes = {**trust, "CAPE_LOCAL_CONFIG_DIR": str(tmp_path / "config"), "CAPE_ENCLAVE_HOST": host.url}
        script = 'answer(Cape().key(username="ada").hex())'
        assert pycape(script, changes=changes) == host.cape_key_der("ada").hex()
        encrypted = ada.cape("encrypt", "x", "--username", "ada", **changes).out
        assert encrypted.startswith(b"cape:")

        document = parse_document(host.key_document("ada"))
        root = x509.load_pem_x509_certificate(host.root.read_bytes())
        check_signature(document)
        check_chain(document, root, at=document.leaf.not_valid_before_utc)
        assert document.leaf.not_valid_after_utc < datetime.now(UTC)
        # For a socket it would not do: there, now counts.
        with pytest.raises(ClientError, match="not valid now"):
            JsCape(host.url, "/v1/key", someone.token(), root)
        assert ada.cape("key", "-t", someone.token(), status=1, **changes).err.count("Error: ") == 1


def test_34_key_document(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person) -> None:
    """A user's key document has a nonce, its body neither `error` nor `message`. (py, js: pycape, raw client)"""
    documents = []
    for _ in range(2):
        body, document = user_key(cape_host, "ada")
        assert set(body) == {"attestation_document"}
        assert len(document.fields["nonce"]) == 16
        documents.append(document)
    assert documents[0].fields["nonce"] != documents[1].fields["nonce"]
    changes = {"CAPE_LOCAL_CONFIG_DIR": str(ada.home / "fresh")}
    key = pycape('answer(Cape().key(username="ada").hex())', changes=changes)
    assert key == base64.b64decode(documents[0].user_data["key"]).hex()
    stranger = httpx2.get(f"{cape_host.plain_url}/v1/user/stranger/key", trust_env=False)
    assert (stranger.status_code, set(stranger.json())) == (404, {"error", "message"})

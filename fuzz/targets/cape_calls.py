"""Harness for calls about accounts from an untrusted gateway (`CapeService.answer`).

`RECORD` in a byte string stands for the sealed record of an account, which a gateway cannot make.
"""

from __future__ import annotations

import hashlib
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import cbor2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import ids, tokens
from blindsight.errors import CapeError, TransportError
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind
from enclave_runtime.cape.accounts import Account, FunctionEntry
from enclave_runtime.cape.host import CapeHost
from enclave_runtime.cape.process import HandlerLimits
from enclave_runtime.cape.rootsecret import RootSecret
from enclave_runtime.cape.service import CapeService
from enclave_runtime.evidence.producer import check_inputs
from fuzz import driving, mock_pki, registry
from fuzz.target import Target

if TYPE_CHECKING:
    from enclave_runtime.confinement.warden import Warden
    from enclave_runtime.evidence.producer import EvidenceProducer

_OWNER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"owner").digest())
_ID = ids.encode(uuid.UUID(int=1 << 100, version=4))
_NAME = "someone"
_CHECKSUM = bytes(32)


class _Producer:
    """A producer that refuses what the device would refuse, and does not sign."""

    def attest(self, *, nonce: bytes | None, user_data: bytes | None, public_key: bytes | None) -> bytes:
        check_inputs(nonce=nonce, user_data=user_data, public_key=public_key)
        return b"document"


@cache
def _rsa() -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key((registry.HERE / "rsa2048.pem").read_bytes(), password=None)
    return cast("rsa.RSAPrivateKey", key)


@cache
def _account() -> Account:
    der = _rsa().private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    owner = _OWNER.public_key().public_bytes_raw()
    return Account(_NAME, owner, der, 5, {_ID: FunctionEntry("name", _CHECKSUM, True)}, {})


def _service() -> tuple[CapeService, bytes]:
    """A new service, and a record that it has sealed."""
    with mock.patch.object(rsa, "generate_private_key", return_value=_rsa()):
        host = CapeHost(
            RootSecret(bytes(32)),
            cast("EvidenceProducer", _Producer()),
            cast("Warden", None),
            HandlerLimits(),
            classifier_checksum=_CHECKSUM,
        )
    service = CapeService.__new__(CapeService)
    service._host = host
    return service, host.vault.seal(_account())


def run(data: bytes) -> None:
    """Check that each call gives an answer or an error frame, and that the owner has signed each change of a record."""
    service, record = _service()
    try:
        fields = frames.unpack(data)
    except TransportError:
        fields = None
    if fields is not None:
        data = frames.pack({name: record if value == b"RECORD" else value for name, value in fields.items()})
    # Generating a key of 4096 bits takes about a second.
    with mock.patch.object(rsa, "generate_private_key", return_value=_rsa()):
        answer = driving.finished(service.answer(data))
    kind, payload = FrameKind(answer[4]), answer[5:]
    if kind is FrameKind.CAPE_ERROR:
        raise cape.error_of(payload)
    assert kind is FrameKind.CAPE_ANSWER
    assert fields is not None
    _look(service, fields, frames.unpack(payload))


def _look(service: CapeService, fields: dict[str, Any], answer: dict[str, Any]) -> None:
    if "record" in answer:
        account = service._host.vault.open(answer["record"])
        signed: str = fields.get("token") or fields["proof"]
        tokens.verify(signed, account.owner_public_key)
        if fields["op"] != "create_account":
            assert (account.username, account.version) == (_NAME, 6)
            assert account.cape_key == _account().cape_key


def seeds() -> dict[str, bytes]:
    """A call of each kind."""
    run_token, account_token = (_token(scope) for scope in ("run", "account"))
    deploy = _token("deploy", func_checksum=_CHECKSUM.hex(), function_name="n", public=True)
    owner = _OWNER.public_key().public_bytes_raw()
    questions: dict[str, dict[str, Any]] = {
        "create_account": {"username": _NAME, "owner_public_key": owner, "proof": account_token},
        "user_key": {"record": b"RECORD"},
        "add_function": {"record": b"RECORD", "token": deploy},
        "delete_function": {"record": b"RECORD", "token": account_token, "function_id": _ID},
        "revoke_token": {"record": b"RECORD", "token": account_token, "token_id": _ID, "expires": 2**40},
        "commit": {"record": b"RECORD"},
        "grant": {"record": b"RECORD", "token": deploy},
    }
    found = {op: cbor2.dumps({"op": op, **fields}) for op, fields in questions.items()}
    return found | {
        "wrong-scope": cbor2.dumps(
            {"op": "delete_function", "record": b"RECORD", "token": run_token, "function_id": _ID}
        ),
        "other-record": cbor2.dumps({"op": "commit", "record": bytes(60)}),
    }


def _token(scope: tokens.Scope, **claims: Any) -> str:  # noqa: ANN401 -- JSON
    return tokens.mint(_OWNER, _NAME, scope, lifetime=None, now=mock_pki.NOW, token_id=_ID, **claims)


TARGET = Target(
    run, (TransportError, CapeError), seeds, max_bytes=2000, base_bytes=1 << 20,
    words=(b"RECORD", b"op", b"expires", b"token_id", b"function_id", b"owner_public_key"),
)  # fmt: skip

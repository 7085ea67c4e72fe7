"""People at a Cape host, and the host's own hands: frames to the enclave's port, records out of its database."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import sqlite3
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509

from blindsight.attestation import cose
from blindsight.attestation.document import AttestationDocument
from blindsight.cape.constants import PREFIX
from blindsight.cape.envelope import Encryptor, encrypt, load_public_key
from blindsight.cape.messages import b64
from blindsight.client.cape import Host, Trust
from blindsight.sealing import hpke
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind
from tests.support import wire
from tests.support.cape_front import Owner, owner

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO

    from tests.support.stack import Stack

ECHO = "def cape_handler(data):\n    return data\n"

_SUITE = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)
_SECONDS = 60.0


def zipped(source: str = ECHO, **files: bytes) -> bytes:
    """A function's archive, always the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), source)
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def enveloped(key: bytes, archive: bytes) -> bytes:
    """An archive as it is uploaded to the account of this Cape Key (DER)."""
    writer = Encryptor(load_public_key(key))
    return PREFIX + writer.start + writer.update(archive) + writer.finish()


def trust_of(stack: Stack, state: Path | None = None) -> Trust:
    """Trust in the stack's simulated enclave, or in one with another `state`."""
    pem = ((state or stack.state) / "simulated_root.pem").read_bytes()
    return Trust(x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :]))


@dataclass
class Guest:
    """A user with an account at the host with this URL."""

    owner: Owner
    url: str
    trust: Trust

    @classmethod
    def sign_up(cls, username: str, url: str, trust: Trust) -> Self:
        guest = cls(owner(username), url, trust)
        body = {"username": username, "owner_public_key": b64(guest.owner.public), "proof": guest.token()}
        answer = guest.host.rest("POST", "/v1/accounts", body=body)
        assert answer.status_code == 201, answer.text
        return guest

    @property
    def username(self) -> str:
        return self.owner.username

    @property
    def host(self) -> Host:
        return Host(self.url)

    def token(self, scope: Any = "account", **options: Any) -> str:
        return self.owner.token(scope, **options)

    def deploy_token(self, archive: bytes, name: str, *, public: bool = False, **options: Any) -> str:
        checksum = hashlib.sha256(archive).hexdigest()
        return self.token("deploy", func_checksum=checksum, function_name=name, public=public, **options)

    def key(self) -> bytes:
        """The Cape Key, proven (DER)."""
        return self.host.own_key(self.token(), self.trust).der

    def encrypt(self, plaintext: bytes) -> bytes:
        """For this guest's functions."""
        return encrypt(load_public_key(self.key()), plaintext)

    def deploy(self, name: str, archive: bytes, *, public: bool = False, token: str | None = None) -> str:
        token = token or self.deploy_token(archive, name, public=public)
        key = self.key()
        with self.host.connect("/v1/deploy", token, self.trust) as connection:
            return connection.deploy(name, public=public, pieces=[enveloped(key, archive)])

    def run(self, function: str, plaintext: bytes, *, token: str | None = None) -> bytes:
        """`function` is an id, or owner and name."""
        with self.host.connect(f"/v1/run/{function}", token or self.token("run"), self.trust) as connection:
            return connection.run(plaintext).output

    def functions(self) -> list[str]:
        """The ids that the host lists."""
        answer = self.host.rest("GET", "/v1/functions?limit=1000", token=self.token())
        assert answer.status_code == 200, answer.text
        return [function["id"] for function in answer.json()]

    def delete(self, function_id: str) -> None:
        answer = self.host.rest("DELETE", f"/v1/functions/{function_id}", token=self.token())
        assert answer.status_code == 200, answer.text


@dataclass
class Hands:
    """What the host can do with the enclave on `port`, whose secret it has. `seen` is all that it was sent."""

    port: int
    secret_file: Path
    seen: bytearray = field(default_factory=bytearray)

    def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask a question. Raises `CapeError`."""
        with self._connection() as line:
            line.send(FrameKind.CAPE_CALL, frames.pack({"op": op, **fields}))
            return frames.unpack(line.receive(FrameKind.CAPE_ANSWER))

    @contextlib.contextmanager
    def session(self, **fields: Any) -> Any:
        """An opened session: `Line`, and whether the function is wanted. Raises `CapeError`."""
        with self._connection() as line:
            line.send(FrameKind.CAPE_OPEN, frames.pack(fields))
            line.wanted = frames.unpack(line.receive(FrameKind.CAPE_OPENED))["need_function"]
            yield line

    def run(self, inputs: Iterable[bytes], bundle: bytes = b"", **fields: Any) -> list[bytes]:
        """Have inputs answered, each sealed as a client would, or as the first one's client if that was the host."""
        outputs = []
        with self.session(route="run", **fields) as line:
            if line.wanted:
                line.send_long(FrameKind.CAPE_FUNCTION, bundle)
                line.receive(FrameKind.CAPE_OPENED)
            key = line.public_key()
            for plaintext in inputs:
                line.send_long(FrameKind.CAPE_INPUT, sealed(key, plaintext))
                outputs.append(line.output())
        return outputs

    def test(self, archive: bytes, plaintext: bytes, **fields: Any) -> bytes:
        with self.session(route="test", **fields) as line:
            key = line.public_key()
            for content in (archive, plaintext):
                line.send_long(FrameKind.CAPE_INPUT, sealed(key, content))
            return line.output()

    def deploy(self, name: str, upload: bytes, *, public: bool = False, **fields: Any) -> dict[str, Any]:
        """What the enclave would have the host store."""
        with self.session(route="deploy", **fields) as line:
            line.public_key()
            message = {"function_name": name, "public": public}
            line.send(FrameKind.CAPE_DEPLOYMENT, json.dumps({"message": message}).encode())
            line.send_long(FrameKind.CAPE_INPUT, upload)
            return frames.unpack(line.receive(FrameKind.CAPE_DEPLOYED))

    @contextlib.contextmanager
    def _connection(self) -> Any:
        with wire.admitted(self.port, self.secret_file, seconds=_SECONDS) as (connection, stream):
            yield Line(connection, stream, self.seen)


def hands_of(stack: Stack) -> Hands:
    """The hands of the stack's operator."""
    return Hands(stack.enclave_port, stack.enclave.secret_file)


class Line:
    """A connection to the enclave."""

    def __init__(self, connection: socket.socket, stream: BinaryIO, seen: bytearray) -> None:
        self.stream = stream
        self.wanted = False
        self._connection = connection
        self._seen = seen

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        self._connection.sendall(frames.encode(kind, payload))

    def send_long(self, kind: FrameKind, content: bytes) -> None:
        for frame in cape.pieces(kind, content):
            self._connection.sendall(frame)

    def receive(self, kind: FrameKind) -> bytes:
        """The next frame's payload, which must be of `kind`. Raises `CapeError`; `EOFError` if there is none."""
        found, payload = wire.receive(self.stream)
        self._seen += payload
        if found is FrameKind.CAPE_ERROR:
            raise cape.error_of(payload)
        assert found is kind, found
        return payload

    def text(self) -> dict[str, Any]:
        """The message of the next text for the client."""
        parts, last = [], False
        while not last:
            part, last = cape.split(self.receive(FrameKind.CAPE_TEXT))
            parts.append(part)
        message: dict[str, Any] = json.loads(b"".join(parts))["message"]
        return message

    def document(self, nonce: bytes = b"nonce") -> AttestationDocument:
        self.send(FrameKind.CAPE_NONCE, nonce)
        raw = base64.b64decode(self.text()["message"])
        return AttestationDocument.parse(cose.parse(raw).payload)

    def public_key(self) -> bytes:
        """What inputs are to be sealed to."""
        key = self.document().public_key
        assert key is not None
        return key

    def output(self) -> bytes:
        output = base64.b64decode(self.text()["message"])
        self._seen += output
        return output


def sealed(key: bytes, plaintext: bytes) -> bytes:
    """An input as clients send it."""
    enc, context = hpke.setup_sender(key, b"", _SUITE)
    return enc + context.seal(plaintext)


def query(database: Path, statement: str, *values: Any) -> list[Any]:
    """Read or change the host's SQLite file."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def record_of(database: Path, username: str) -> bytes:
    """An account's sealed record, as the host has it."""
    return bytes(query(database, "SELECT record FROM accounts WHERE username = ?", username)[0][0])

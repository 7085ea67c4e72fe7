"""A small Cape host on the loopback: sockets and REST on one port, evidence of a simulated enclave, echo functions.

It believes nothing it should not: tokens are verified, deploys are checked against theirs. What tests want it to do
wrong, they set on `FakeCapeHost.faults`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import socket
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection

from blindsight.cape import envelope, ids, messages, tokens
from blindsight.cape.constants import PREFIX, RUNTIME_SUBPROTOCOL
from blindsight.errors import CapeError
from blindsight.sealing import hpke
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.evidence.simulated_pki import ROOT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PCRS = {index: bytes([0xA0 + index]) * 48 for index in range(3)}


PYTHON = "cpython-311-x86_64-linux-gnu"


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The RSA key with this name, the same all through a test run: making one takes a while."""
    return rsa.generate_private_key(65537, bits)


@functools.cache
def owner_key(name: str) -> Ed25519PrivateKey:
    """The owner key with this name, the same all through a test run."""
    return Ed25519PrivateKey.generate()


@dataclass
class Function:
    id: str
    name: str
    owner: str
    archive: bytes
    public: bool

    @property
    def checksum(self) -> bytes:
        return hashlib.sha256(self.archive).digest()


@dataclass
class Request:
    """One REST request as it came."""

    method: str
    path: str
    token: str
    body: Any


@dataclass
class FakeCapeHost:
    """What a test reads and sets; `fragments` are the sizes of the last upload's frames."""

    state: Path
    faults: dict[str, Any] = field(default_factory=dict)
    accounts: dict[str, bytes] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: dict[str, Any] = field(default_factory=dict)
    device_answers: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    fragments: list[int] = field(default_factory=list)
    port: int = 0
    python: str | None = PYTHON

    def __post_init__(self) -> None:
        self.producer = SimulatedProducer(self.state, PCRS)
        self.root = self.state / "root.pem"
        certificate = x509.load_pem_x509_certificate((self.state / ROOT_FILE).read_bytes())
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.sealing_key = X25519PrivateKey.generate()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cape_key(self, username: str) -> rsa.RSAPrivateKey:
        return rsa_key(f"{self.state.name}/{username.lower()}")

    def cape_key_der(self, username: str) -> bytes:
        return (
            self.cape_key(username)
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def attest(self, nonce: bytes, user_data: dict[str, bytes | str]) -> bytes:
        return self.producer.attest(
            nonce=self.faults.get("nonce", nonce),
            user_data=messages.user_data(user_data),
            public_key=self.public_key,
        )

    @property
    def public_key(self) -> bytes:
        return self.sealing_key.public_key().public_bytes_raw()

    def binding(self) -> dict[str, bytes | str]:
        """What evidence says of an enclave that binds its results; `faults["unbound"]` makes it one of Cape's own."""
        if "unbound" in self.faults:
            return {}
        signing = messages.pkcs1(rsa_key("results").public_key())
        stated: dict[str, bytes | str] = {"python": self.python} if self.python else {}
        return stated | {"result_binding": messages.RESULT_BINDING, "signature_verification_public_key": signing}

    def key_document(self, username: str) -> bytes:
        return self.attest(bytes(16), self.key_data(username))

    def key_data(self, username: str) -> dict[str, bytes | str]:
        """What the enclave states of an account, or what a hostile host has one state in its place."""
        name = username.lower()
        owner = self.accounts.get(name) or owner_key(f"{self.state.name}/{name}").public_key().public_bytes_raw()
        stated = {"key": self.cape_key_der(name), "username": name, "owner": owner}
        stated |= {"python": self.python} if self.python else {}
        stated |= {member: self.faults[member] for member in ("key", "owner") if member in self.faults}
        return self.faults.get("key data", lambda stated: stated)(stated)

    def account_of(self, token: str) -> tokens.Token:
        username = tokens.peek(token).username
        if username not in self.accounts:
            raise CapeError("unknown_account", "there is no such account")
        return tokens.verify(token, self.accounts[username])

    def open(self, sealed: bytes) -> bytes:
        suite = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)
        return hpke.setup_recipient(sealed[:32], self.sealing_key, b"", suite).open(sealed[32:])

    def find(self, path: str) -> Function:
        wanted = path.removeprefix("/v1/run/")
        for function in self.functions.values():
            if wanted in (function.id, f"{function.owner}/{function.name}"):
                return function
        raise CapeError("unknown_function", "function not found")


@contextlib.contextmanager
def running_cape_host(state: Path) -> Iterator[FakeCapeHost]:
    """Serve until the block ends."""
    host = FakeCapeHost(state)
    with _Server(("127.0.0.1", 0), functools.partial(_Rest, host)) as server:
        server.host = host
        host.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join(timeout=30)
    assert not thread.is_alive()


class _Server(ThreadingHTTPServer):
    host: FakeCapeHost

    def finish_request(self, request: Any, client_address: Any) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head = request.recv(1 << 16, socket.MSG_PEEK)
            if not head:
                return
        if b"upgrade: websocket" in head.lower():
            _serve_socket(self.host, request)
        else:
            super().finish_request(request, client_address)


def _serve_socket(host: FakeCapeHost, raw: socket.socket) -> None:
    protocol = ServerProtocol(select_subprotocol=lambda _, offered: RUNTIME_SUBPROTOCOL, max_size=1 << 30)
    connection = ServerConnection(
        raw, protocol, SimpleNamespace(socket_closed=threading.Event()), ping_interval=None, close_timeout=0.5
    )
    with connection:

        def admit(connection: ServerConnection, request: Any) -> Any:
            host.sockets.append(request.path)
            offered = request.headers["Sec-WebSocket-Protocol"].split(",")
            connection.offered_token = offered[1].strip()
            if "refusal" in host.faults:
                status, body = host.faults["refusal"]
                return connection.respond(status, body)
            return None

        connection.handshake(process_request=admit, timeout=30)
        if connection.protocol.state.name != "OPEN":
            return
        with contextlib.suppress(ConnectionClosed):
            try:
                _converse(host, connection, connection.request.path, connection.offered_token)
            except CapeError as error:
                connection.send(messages.error(str(error)))


def _converse(host: FakeCapeHost, connection: ServerConnection, path: str, token: str) -> None:
    nonce = messages.nonce_of(connection.recv())
    proven = host.account_of(token)
    if path == "/v1/key":
        connection.send(messages.attestation(host.attest(nonce, host.key_data(proven.username))))
        connection.recv()
    elif path == "/v1/deploy":
        connection.send(messages.attestation(host.attest(nonce, host.key_data(proven.username))))
        _deploy(host, connection, proven)
    elif path == "/v1/test":
        connection.send(messages.attestation(host.attest(nonce, host.binding())))
        archive, sealed = host.open(connection.recv()), connection.recv()
        _answer(host, connection, sealed, host.open(sealed), hashlib.sha256(archive).digest())
    else:
        _run(host, connection, host.find(path), nonce)


def _deploy(host: FakeCapeHost, connection: ServerConnection, token: tokens.Token) -> None:
    name, public = messages.function_of(connection.recv())
    fragments = connection.recv_streaming()
    first = next(fragments)
    assert first.startswith(PREFIX)
    reader = envelope.Decryptor(host.cape_key(token.username))
    archive = bytearray(reader.update(first.removeprefix(PREFIX)))
    host.fragments[:] = [len(first)]
    for fragment in fragments:
        host.fragments.append(len(fragment))
        if "hang up" in host.faults:
            connection.send(messages.error(host.faults["hang up"]))
            # As a host does: what stays unread would reset the connection, and those words would be lost.
            closing = threading.Thread(target=connection.close)
            closing.start()
            with contextlib.suppress(ConnectionClosed):
                for _ in fragments:
                    pass
            closing.join()
            return
        archive += reader.update(fragment)
    reader.finish()
    function = Function(ids.new(), name, token.username, bytes(archive), public)
    if token.deploy != (function.checksum, name, public):
        raise CapeError("checksum_mismatch", "the upload is not what the token allows")
    host.functions[function.id] = function
    connection.send(messages.deployed(function.id))


def _run(host: FakeCapeHost, connection: ServerConnection, function: Function, nonce: bytes) -> None:
    signing = rsa_key("results")
    stated: dict[str, bytes | str] = {
        "func_checksum": function.checksum,
        "key_checksum": bytes(32),
        "signature_verification_public_key": messages.pkcs1(signing.public_key()),
        **host.binding(),
    }
    connection.send(messages.attestation(host.attest(nonce, stated)))
    while True:
        sealed = connection.recv()
        plaintext = host.open(sealed)
        if plaintext.startswith(PREFIX):
            plaintext = envelope.decrypt(host.cape_key(function.owner), plaintext)
        if plaintext == b"fail":
            connection.send(messages.error("the function failed: ValueError"))
            continue
        _answer(host, connection, sealed, plaintext, function.checksum)


def _answer(host: FakeCapeHost, connection: ServerConnection, sealed: bytes, plaintext: bytes, function: bytes) -> None:
    checksums = messages.Checksums.of(plaintext, function, plaintext)
    answered = messages.Answered(host.public_key, hashlib.sha256(sealed).digest()) if host.binding() else None
    frame = b"".join(messages.result(plaintext, checksums, rsa_key("results"), answered)).decode()
    connection.send(host.faults.get("tamper", lambda text: text)(frame))


class _Rest(BaseHTTPRequestHandler):
    def __init__(self, host: FakeCapeHost, *arguments: Any) -> None:
        self.host = host
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = "urlencoded" in self.headers.get("Content-Type", "")
        body = {k: v[0] for k, v in parse_qs(content).items()} if form else json.loads(content or "null")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        request = Request(self.command, self.path, token, body)
        self.host.requests.append(request)
        try:
            if "rest" in self.host.faults:
                status, answer = self.host.faults["rest"]
            else:
                status, answer = _rest(self.host, request)
        except CapeError as error:
            status, answer = error.status, {"error": str(error), "message": str(error)}
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _rest(host: FakeCapeHost, request: Request) -> tuple[int, Any]:
    url = urlsplit(request.path)
    match request.method, *url.path.strip("/").split("/"):
        case "POST", "v1", "accounts":
            return _signup(host, request.body)
        case "GET", "v1", "user", username, "key":
            return 200, {"attestation_document": b64encode(host.key_document(username)).decode()}
        case "POST", "oauth", "device", "code":
            return 200, {
                "device_code": "device",
                "user_code": "WDJB-MJHT",
                "verification_uri": f"{host.url}/device",
                "verification_uri_complete": f"{host.url}/device?user_code=WDJB-MJHT",
                "expires_in": 600,
                "interval": 5,
            }
        case "POST", "oauth", "token":
            return 200, host.device_answers.pop(0)
    account = host.account_of(request.token)
    if account.scope != "account":
        raise CapeError("forbidden", "this token only runs functions")
    match request.method, *url.path.strip("/").split("/"):
        case "POST", "oauth", "device", "decision":
            return 200, {}
        case "GET", "oauth", "device", "login":
            return 200, {"user_code": parse_qs(url.query)["user_code"][0], **host.waiting}
        case "GET", "v1", "functions":
            page = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
            shown = [
                {"id": function.id, "name": function.name, "created_at": "2026-11-01T12:34:56.123456789Z"}
                for function in host.functions.values()
            ]
            return 200, shown[page["offset"] : page["offset"] + page["limit"]]
        case "DELETE", "v1", "functions", function_id:
            if host.functions.pop(function_id, None) is None:
                raise CapeError("unknown_function", "no such function")
            return 200, {}
        case "POST", "v1", "token":
            minted = tokens.verify(request.body["token"], host.accounts[account.username])
            expiry = minted.expires and minted.expires.isoformat().replace("+00:00", "Z")
            assert (minted.scope, request.body.get("expiry")) == ("run", expiry)
            assert (minted.function_id or "") == request.body["function_id"]
            kept = {name: request.body[name] for name in ("name", "description")}
            host.tokens[minted.id] = kept | {"id": minted.id, "created_at": "2026-11-01T12:34:56Z", "expiry": expiry}
            return 201, {"token": request.body["token"]}
        case "GET", "v1", "tokens":
            return 200, list(host.tokens.values())
        case "DELETE", "v1", "token", token_id:
            if host.tokens.pop(token_id, None) is None:
                return 404, {"error": "no such token", "message": "no such token"}
            return 200, {}
    return 404, {"error": "not found", "message": "not found"}


def _signup(host: FakeCapeHost, body: dict[str, Any]) -> tuple[int, Any]:
    key = b64decode(body["owner_public_key"])
    proof = tokens.verify(body["proof"], key)
    assert (proof.username, proof.scope) == (body["username"], "account")
    if host.accounts.setdefault(body["username"], key) != key:
        raise CapeError("name_taken", "this username is taken")
    return 201, {"username": body["username"]}

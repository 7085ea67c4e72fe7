"""Client of a Cape host: attested WebSocket connections and the REST API.

    host = Host("https://cape.example")
    with host.connect("/v1/run/ada/echo", token, Trust()) as connection:
        print(connection.run(b"hello").output)

Raises `EvidenceError` if the enclave is not accepted, before it sends anything secret; `CapeError` (`refused`) with the
host's own message; `TransportError` if the host is not reached or does not follow the protocol; `ProxyError` for a
proxy that must not be used.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import json
import secrets
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import httpx2
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from websockets import Subprotocol
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidURI,
    SecurityError,
)

from blindsight import strict_base64, strict_json
from blindsight.cape import evidence, messages, tokens, tracebacks
from blindsight.cape.constants import OWNER_KEY_BYTES, PREFIX, RUNTIME_SUBPROTOCOL, TOKEN_EXPIRED
from blindsight.client import routes, sockets
from blindsight.errors import CapeError, OwnerError, ProxyError, TransportError
from blindsight.sealing import hpke
from blindsight.sealing.kem import X25519_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptography import x509

    from blindsight.attestation.document import AttestationDocument
    from blindsight.client.sockets import BlockingSocket

OPEN_SECONDS: Final = 45.0
REST_SECONDS: Final = 60.0
PING_SECONDS: Final = 20.0
"""Keeps idle connections through home routers open. A late pong is not an error: it queues behind an upload on a slow
line."""

MAX_MESSAGE_BYTES: Final = 1 << 30
NONCE_BYTES: Final = 24

_REFUSAL_BYTES: Final = 1024
_READABLE: Final = "tokens and results"
_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
_INPUT_SUITE: Final = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)


@dataclass(frozen=True)
class Trust:
    """Accepted evidence: under `root` (None: AWS's), with one of the listed values for every listed PCR."""

    root: x509.Certificate | None = None
    pcrs: Mapping[int, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """A function's result: its bytes, and the host's signed statement of the run, as received (base64)."""

    output: bytes
    checksums: Mapping[str, Any] | None
    signature: str | None
    bound_signature: str | None = None
    """Signature over the checksums, the session and the input, if the enclave's evidence states that it makes one."""


@dataclass(frozen=True)
class AccountKey:
    """An account's Cape Key as an enclave attests it.

    `der` is SubjectPublicKeyInfo, `owner` the Ed25519 key of the account's owner, 32 bytes raw. The host chooses the
    account for a name, so the caller has to compare the owner.
    """

    der: bytes
    username: str
    owner: bytes

    @classmethod
    def parse(cls, user_data: bytes | None, username: str) -> AccountKey:
        """Read the key of the account `username` from an attested document.

        Raises `CapeError` if there is no key, `OwnerError` if it belongs to another account or the document names no
        owner.
        """
        key, owner, named = claim(user_data, "key"), claim(user_data, "owner"), _member(user_data, "username")
        if not key:
            raise CapeError("refused", "did not receive cape key")
        if not isinstance(named, str) or owner is None or len(owner) != OWNER_KEY_BYTES:
            raise OwnerError("owner_missing", "the host shows a key without saying whose it is")
        # Usernames have ASCII letters only, and differ in more than their case.
        if named.lower() != username.lower():
            raise OwnerError("owner_mismatch", "the host shows the key of another account")
        return cls(key, named, owner)

    def check_signed(self, token: str) -> None:
        """Check that the key's owner signed `token`, so that the key is that of the token's account. Raises
        `OwnerError`.
        """
        try:
            tokens.verify(token, self.owner)
        except CapeError as error:
            if error.code == "token_expired":  # The signature was checked before the time.
                return
            text = f"the owner of {self.username} that the host shows has not signed the token of {self.username}"
            raise OwnerError("owner_mismatch", text) from error


@dataclass(frozen=True)
class Host:
    """A Cape host at `url` (http, https, ws or wss).

    `insecure` accepts any TLS certificate. `proxy` is a proxy's URL, or "env" for the proxy of the environment. The
    client connects to hosts of this machine directly, and sends only TLS through a proxy: Cape encrypts neither tokens
    nor results.
    """

    url: str
    insecure: bool = False
    proxy: str | None = None

    def rest(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send one request and return the response with any status. Raises `TransportError` and `ProxyError`."""
        url = self._url(path, "http")
        if token and not (token.isascii() and token.isprintable()):
            raise _no_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with routes.blocking(
                url, timeout=REST_SECONDS, proxy=self.proxy, readable=_READABLE, headers=headers, tls=self._tls()
            ) as client:
                return client.request(method, url, json=body, data=form)
        except (httpx2.RequestError, httpx2.InvalidURL, OSError) as error:
            raise _unreachable(self.url, error) from error

    @contextlib.contextmanager
    def connect(self, path: str, token: str, trust: Trust) -> Iterator[Connection]:
        """Open a connection and verify its evidence; it is closed when the block ends.

        Raises `TransportError`, `RefusedFrame`, `EvidenceError`, and `ProxyError` for a proxy that cannot be used.
        """
        url = self._url(path, "ws")
        with contextlib.ExitStack() as stack:
            try:
                socket = stack.enter_context(
                    sockets.opened(
                        url,
                        _refused_handshake,
                        ssl=self._tls() if url.startswith("wss:") else None,
                        subprotocols=[Subprotocol(RUNTIME_SUBPROTOCOL), Subprotocol(_checked(token))],
                        compression=None,
                        proxy=routes.proxy_for(url, self.proxy, readable=_READABLE),
                        open_timeout=OPEN_SECONDS,
                        ping_interval=PING_SECONDS,
                        ping_timeout=None,
                        max_size=MAX_MESSAGE_BYTES,
                    )
                )
            except (InvalidURI, httpx2.InvalidURL) as error:
                raise TransportError("unreachable", "malformed ws or wss URL") from error
            except (InvalidProxy, ImportError):
                # Without the library's words, which quote the proxy's password.
                raise ProxyError("proxy_unusable", "the proxy cannot be used") from None
            except (InvalidHandshake, SecurityError, ConnectionClosed, OSError, EOFError) as error:
                raise _unreachable(self.url, error) from error
            yield Connection(socket, trust)

    def user_key(self, username: str, trust: Trust) -> AccountKey:
        """The Cape Key of the account that the host has under `username`. Also raises `OwnerError`."""
        response = self.rest("GET", f"/v1/user/{username}/key")
        content = json_object(response)
        if response.status_code != 200:
            text = content.get("error") or content.get("message")
            raise CapeError("refused", str(text or f"something went wrong, status code: {response.status_code}"))
        try:
            document = strict_base64.decode(content["attestation_document"])
        except (KeyError, TypeError, ValueError) as error:
            raise TransportError("unexpected_answer", "error parsing attestation document") from error
        verified = evidence.verify_document(document, root=trust.root, nonce=None, at="leaf", pcrs=trust.pcrs)
        return AccountKey.parse(verified.user_data, username)

    def own_key(self, token: str, trust: Trust) -> AccountKey:
        """The Cape Key of the account whose owner signed `token`. Also raises `OwnerError`."""
        with self.connect("/v1/key", token, trust) as connection:
            key = AccountKey.parse(connection.document.user_data, tokens.peek(token).username)
        key.check_signed(token)
        return key

    def _url(self, path: str, scheme: str) -> str:
        base = self.url.removesuffix("/")
        own, separator, rest = base.partition("://")
        schemes = {"http": scheme, "ws": scheme, "https": f"{scheme}s", "wss": f"{scheme}s"}
        if not separator or own not in schemes:
            raise TransportError("unreachable", "malformed ws or wss URL")
        return f"{schemes[own]}://{rest}{path}"

    def _tls(self) -> ssl.SSLContext:
        context = routes.tls_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class RefusedFrame(CapeError):
    """The host's error frame."""

    def __init__(self, frame: Mapping[str, Any]) -> None:
        super().__init__("refused", str(frame["error"]))
        self.frame = frame


class FunctionFailed(CapeError):
    """The tested code could not be loaded, or raised; `traceback` is empty if the enclave sent none."""

    def __init__(self, text: str, traceback: str) -> None:
        super().__init__("refused", text)
        self.traceback = traceback


class Connection:
    """An open WebSocket with accepted evidence: `document` parsed, `raw_document` as received."""

    def __init__(self, socket: BlockingSocket, trust: Trust) -> None:
        self._socket = socket
        nonce = secrets.token_bytes(NONCE_BYTES)
        self.send_message({"nonce": messages.b64(nonce)})
        self.raw_document = _decoded(self.receive().get("message"))
        self.document = evidence.verify_document(
            self.raw_document, root=trust.root, nonce=nonce, at=datetime.now(UTC), pcrs=trust.pcrs
        )

    def send_message(self, message: Mapping[str, object]) -> None:
        self._send(json.dumps({"message": message}))

    def send_sealed(self, plaintext: bytes) -> bytes:
        """Encrypt `plaintext` to the attested enclave and send it. Returns SHA-256 of the sent message."""
        return self._send_sealed(plaintext)[0]

    def _send_sealed(self, plaintext: bytes) -> tuple[bytes, hpke.SenderContext]:
        key = self.document.public_key
        if key is None or len(key) != X25519_BYTES:
            raise TransportError("unexpected_answer", "the evidence has no key to encrypt to")
        enc, context = hpke.setup_sender(key, b"", _INPUT_SUITE)
        sealed = enc + context.seal(plaintext)
        self._send(sealed)
        return hashlib.sha256(sealed).digest(), context

    def run(self, plaintext: bytes) -> RunResult:
        """Run the function on one input, and verify the host's signatures if the document states that it makes them."""
        sealed = self.send_sealed(plaintext)
        result = self.result()
        _check_signed(result, self.document, plaintext, sealed, claim(self.document.user_data, "func_checksum"))
        return result

    def test(self, archive: bytes, plaintext: bytes) -> RunResult:
        """Run the code in `archive` on one input, likewise. Raises `FunctionFailed` with its traceback, if any."""
        self.send_sealed(archive)
        sealed, context = self._send_sealed(plaintext)
        try:
            result = self.result()
        except RefusedFrame as error:
            traceback = tracebacks.opened(tracebacks.key_of(context), error.frame.get("traceback"))
            raise FunctionFailed(str(error), traceback) from error
        _check_signed(result, self.document, plaintext, sealed, hashlib.sha256(archive).digest())
        return result

    def result(self) -> RunResult:
        """Receive the next result without verifying its signature."""
        message = self.receive()
        checksums = message.get("checksums")
        signature, bound = (
            text if isinstance(text := message.get(name), str) else None
            for name in ("signed_checksums", "signed_bound")
        )
        return RunResult(
            _decoded(message.get("message")), checksums if isinstance(checksums, dict) else None, signature, bound
        )

    def deploy(self, name: str, *, public: bool, pieces: Iterable[bytes]) -> str:
        """Upload an encrypted function, one frame for each piece, and return its id.

        Raises `TransportError`, `RefusedFrame`.
        """
        self.send_message({"function_name": name, "public": public})
        self._send(pieces)
        function_id = self.receive().get("id")
        if not isinstance(function_id, str):
            raise TransportError("unexpected_answer", "the host answers without a function ID")
        return function_id

    def receive(self) -> dict[str, Any]:
        """The next message of the host. Raises `TransportError`; `RefusedFrame` for an error frame."""
        try:
            frame = strict_json.loads(self._socket.recv())
        except ConnectionClosed as error:
            raise TransportError("connection_lost", "the host closed the connection") from error
        except ValueError as error:
            raise TransportError("unexpected_answer", "the host's answer is not JSON") from error
        if isinstance(frame, dict) and frame.get("error"):
            raise RefusedFrame(frame)
        message = frame.get("message") if isinstance(frame, dict) else None
        if not isinstance(message, dict):
            raise TransportError("unexpected_answer", "the host's answer has no message")
        return message

    def _send(self, content: str | bytes | Iterable[bytes]) -> None:
        try:
            self._socket.send(content)
        except ConnectionClosed as error:
            self.receive()  # Raises what the host said before it hung up, if it said anything.
            raise TransportError("connection_lost", "the host closed the connection") from error


def claim(user_data: bytes | None, name: str) -> bytes | None:
    """A base64 member of a document's `user_data`; None if it is absent."""
    try:
        return strict_base64.decode(_member(user_data, name))
    except (TypeError, ValueError):
        return None


def _member(user_data: bytes | None, name: str) -> Any:  # noqa: ANN401 -- JSON
    try:
        return strict_json.loads(user_data or b"{}")[name]
    except (KeyError, TypeError, ValueError):
        return None


def text_claim(user_data: bytes | None, name: str) -> str | None:
    """A text member of a document's `user_data`; None if it is absent."""
    value = _member(user_data, name)
    return value if isinstance(value, str) else None


def json_object(response: httpx2.Response) -> dict[str, Any]:
    """The response's JSON object; empty if the body is not one."""
    try:
        content = strict_json.loads(response.content)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _check_signed(
    result: RunResult, document: AttestationDocument, plaintext: bytes, sealed_input: bytes, function: bytes | None
) -> None:
    """Verify the attested key's signatures, and that they are for this function, this input and this output.

    Only the enclave knows an encrypted input after decryption, so its checksum cannot be compared. If the evidence
    states so, the enclave also signs the session and the sealed message that it answers; then that signature is
    required.
    """
    signing_key = claim(document.user_data, "signature_verification_public_key")
    if signing_key is None:
        return
    try:
        stated = {name: _decoded((result.checksums or {}).get(name)) for name in ("input", "function", "output")}
        checksums = messages.Checksums(**stated)
        key = cast("rsa.RSAPublicKey", serialization.load_der_public_key(signing_key))
        key.verify(_decoded(result.signature), checksums.preimage(), _PSS, hashes.SHA256())
        if text_claim(document.user_data, "result_binding") == messages.RESULT_BINDING:
            answered = messages.Answered(document.public_key or b"", sealed_input)
            key.verify(_decoded(result.bound_signature), answered.preimage(checksums), _PSS, hashes.SHA256())
    except (TransportError, ValueError, AttributeError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise CapeError("refused", "the signature of the result does not verify") from error
    expected = {"function": function, "output": hashlib.sha256(result.output).digest()}
    if not plaintext.startswith(PREFIX):
        expected["input"] = hashlib.sha256(plaintext).digest()
    for name, value in expected.items():
        if stated[name] != value:
            raise CapeError("refused", f"the signed checksum of the {name} is another's")


def _decoded(text: object) -> bytes:
    try:
        return strict_base64.decode(text) if isinstance(text, str) else _not_base64()
    except binascii.Error as error:
        raise TransportError("unexpected_answer", "the host's answer is not base64") from error


def _not_base64() -> bytes:
    raise binascii.Error


def _checked(token: str) -> str:
    """Return the token if it can be sent as a subprotocol."""
    if not token or not token.isascii() or not all(character.isalnum() or character in "-._~+" for character in token):
        raise _no_token()
    return token


def _no_token() -> CapeError:
    return CapeError("token_invalid", "the token is empty or has characters that no token has")


def _refused_handshake(status: int, body: bytes) -> CapeError:
    try:
        content = strict_json.loads(body[:_REFUSAL_BYTES])
        reason = str(content["error"])
    except (KeyError, TypeError, ValueError):
        reason = "the host gives none"
    if TOKEN_EXPIRED in reason:
        return CapeError("token_expired", "your token is expired. Try logging in again with `cape login`")
    return CapeError("refused", f"error code: {status}, reason: {reason}")


def _unreachable(url: str, error: Exception) -> TransportError:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return TransportError("timed_out", f"{url} does not answer in time")
    return TransportError("unreachable", f"{url} cannot be reached: {error or type(error).__name__}")

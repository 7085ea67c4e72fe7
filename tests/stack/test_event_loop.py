"""The enclave answers all others while one caller sends it the worst that each of its doors lets in.

Times are compared with those of an idle service on the same machine at the same moment, and generously; what makes them
short is tested by itself, where it is made. Run it with `-rP` for the figures.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import CapeError
from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from enclave_function.bundle import build
from tests.support import wire
from tests.support.cape_front import owner
from tests.support.cape_guest import Hands, enveloped, sealed, zipped
from tests.support.dates import dated
from tests.support.lag import Probe
from tests.support.processes import Enclave
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cape_front import Owner
    from tests.support.models import TinyModel

MIB = 1 << 20

FUNCTION = zipped("""
import base64, json, os, socket, threading, time


def ask(*pieces):
    with socket.socket(socket.AF_UNIX) as rpc:
        rpc.connect("../rpc.sock")
        try:
            for piece in pieces:
                rpc.sendall(piece)
                time.sleep(0.05)
            rpc.shutdown(socket.SHUT_WR)
            while rpc.recv(1 << 20):
                pass
        except OSError:
            pass


def together(count, *pieces):
    threads = [threading.Thread(target=ask, args=pieces) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cape_handler(data):
    match data[:20]:
        case b"result":
            return bytes(64 << 20)
        case b"rpc numbers":
            # What looks complete again and again: a text that ends, after numbers that are read anew each time.
            pieces = [b'{"id": 1, "x": [', *(b"1," * 300_000 + b'"}' if n % 2 == 0 else b'",' for n in range(30))]
            together(8, *pieces)
        case b"rpc values":
            value = base64.b64encode(bytes(7 << 20)).decode()
            request = {"id": 1, "method": "CapeEncryptRPC.Encrypt", "params": [value]}
            together(8, json.dumps(request).encode())
        case b"header":
            header = b'{"ok": true, "x": [' + b"1," * 500_000 + b"1]}"
            for descriptor in range(3, 4096):
                try:
                    channel = socket.socket(fileno=os.dup(descriptor))
                    channel.sendall(len(header).to_bytes(4, "big") + bytes(4) + header)
                except OSError:
                    pass
    return str(len(data)).encode()
""")


@dataclass(frozen=True)
class Target:
    """An enclave, and an account with a function there."""

    enclave: Enclave
    hands: Hands
    owner: Owner
    fields: dict[str, Any]
    bundle: bytes

    def run(self, *inputs: bytes) -> list[bytes]:
        """Have the function answer, each input in turn; what is refused is left out."""
        outputs = []
        with self.hands.session(route="run", **self.fields) as line:
            if line.wanted:
                line.send_long(FrameKind.CAPE_FUNCTION, self.bundle)
                line.receive(FrameKind.CAPE_OPENED)
            key = line.public_key()
            for plaintext in inputs:
                line.send_long(FrameKind.CAPE_INPUT, sealed(key, plaintext))
                with contextlib.suppress(CapeError):
                    outputs.append(line.output())
        return outputs

    def classify(self, *requests: bytes) -> None:
        """Send binary HTTP requests, sealed."""
        evidence = frames.unpack(
            wire.ask(
                self.enclave.port,
                self.enclave.secret_file,
                FrameKind.EVIDENCE_REQUEST,
                frames.pack({"nonce": bytes(16)}),
            )[1]
        )
        config = keyconfig.preferred(keyconfig.decode_list(evidence["key_configs"]))
        for request in requests:
            message, opener = ohttp.encapsulate(config, request)
            kind, answer = wire.ask(
                self.enclave.port, self.enclave.secret_file, FrameKind.SEALED_REQUEST, message, seconds=60
            )
            assert kind is FrameKind.SEALED_RESPONSE
            assert bhttp.decode_response(opener.open(answer)).status != 500


@pytest.fixture(scope="module")
def target(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("event-loop")
    bundle = folder / "bundle.zip"
    build(colour_model.folder, bundle)
    enclave = Enclave(bundle, folder / "state", folder / "enclave", port=free_port(), workers=1)
    try:
        enclave.wait_warm()
        ada, hands = owner("ada"), Hands(enclave.port, enclave.secret_file)
        record = hands.call("create_account", username="ada", owner_public_key=ada.public, proof=ada.token())["record"]
        with hands.session(route="key", token=ada.token(), record=record) as line:
            key = json.loads(line.document().user_data or b"")["key"]
        token = ada.token("deploy", func_checksum=_sha256(FUNCTION), function_name="fn", public=False)
        added = hands.call("add_function", record=record, token=token)
        fields = {
            "token": ada.token("run"), "record": added["record"],
            "owner_record": added["record"], "function_id": added["id"],
        }  # fmt: skip
        yield Target(enclave, hands, ada, fields, enveloped(_decoded(key), FUNCTION))
    finally:
        enclave.stop()


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _decoded(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


def request(path: str = "/classify", content: bytes = b"no image", **fields: str) -> bytes:
    return bhttp.Request("POST", path, [*dated(0), *fields.items()], content).encode()


def chunked(content_chunks: int) -> bytes:
    """An indeterminate-length request whose content comes in chunks of one byte."""
    control = b"".join(bhttp.varint(len(text)) + text for text in (b"POST", b"https", b"", b"/classify"))
    (date,) = dated(0)
    fields = b"".join(bhttp.varint(len(text)) + text for text in (part.encode() for part in date)) + b"\x00"
    return b"\x02" + control + fields + b"\x01x" * content_chunks + b"\x00\x00"


def numbers(count: int) -> bytes:
    """A CBOR array of that many numbers, in a map."""
    return b"\xa1\x61x\x9a" + count.to_bytes(4, "big") + b"\x01" * count


def deployment(target: Target, length: int) -> None:
    token = target.owner.token("deploy", func_checksum="00" * 32, function_name="fn", public=False)
    text = b'{"message": {"function_name": [' + b"1," * (length // 2) + b"1]}}"
    with (
        contextlib.suppress(CapeError, EOFError, ConnectionError),
        target.hands.session(route="deploy", token=token, record=target.fields["record"]) as line,
    ):
        line.public_key()
        line.send(FrameKind.CAPE_DEPLOYMENT, text)
        line.receive(FrameKind.CAPE_DEPLOYED)


def call(target: Target, payload: bytes) -> None:
    with contextlib.suppress(ConnectionError, EOFError):  # Refused unread.
        kind, _ = wire.ask(target.enclave.port, target.enclave.secret_file, FrameKind.CAPE_CALL, payload, seconds=60)
        assert kind is FrameKind.REFUSAL


ATTACKS: dict[str, Callable[[Target], object]] = {
    "a path of 18 MiB": lambda target: target.classify(request("/classify?" + "a=b&" * (18 * MIB // 4))),
    "a date of 18 MiB": lambda target: target.classify(
        bhttp.Request("POST", "/", [("date", "1 " * (9 * MIB))]).encode()
    ),
    "chunks of a byte": lambda target: target.classify(*[chunked(60_000)] * 10),
    "20 MiB of padding": lambda target: target.classify(*[request() + bytes(20 * MIB)] * 3),
    "images of 20 MiB": lambda target: target.classify(
        *[request(content=bytes(20 * MIB), **{"receipt-evidence": "ab" * 32})] * 3
    ),
    "ciphertexts of 20 MiB": lambda target: target.classify(*[request(content=b"cape:" + b"A" * (20 * MIB))] * 3),
    "a result of 64 MiB": lambda target: target.run(*[b"result"] * 2),
    "inputs of 63 MiB": lambda target: target.run(*[bytes(63 * MIB)] * 2),
    "inputs of 60 MiB that are ciphertext": lambda target: target.run(*[b"cape:" + b"A" * (60 * MIB)] * 2),
    "calls of a function, all numbers": lambda target: target.run(b"rpc numbers"),
    "calls of a function, large values": lambda target: target.run(b"rpc values", b"rpc values"),
    "a forged header": lambda target: target.run(b"header", b"header"),
    "a deployment's text": lambda target: deployment(target, 3 * MIB),
    "a deployment's long text": lambda target: deployment(target, 28 * MIB),
    "a question of numbers": lambda target: call(target, numbers(3 * MIB)),
    "a question of many numbers": lambda target: call(target, numbers(20 * MIB)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_enclave_answers_others_meanwhile(target: Target, attack: str) -> None:
    with Probe(target.enclave.port, target.enclave.secret_file) as probe:
        ATTACKS[attack](target)
    print(f"{attack}: {probe.enclave}; idle {probe.idle}")
    assert probe.enclave.percentile(99) < 150 + 5 * probe.idle.percentile(99)
    assert probe.enclave.worst < 400 + 5 * probe.idle.worst

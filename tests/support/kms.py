"""The stand-in for KMS in this process, and enclaves that ask it."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from blindsight_cli import keypolicy
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.kms import sigv4
from enclave_runtime.kms.client import KmsClient
from enclave_runtime.kms.connect import connector
from enclave_runtime.kms.credentials import Credentials, InstanceCredentials
from enclave_runtime.kms.settings import KmsSettings
from enclave_runtime.kms.transport import Answer, Request, exchange
from kms_standin import authority
from kms_standin.attested import Verifier
from kms_standin.keypolicy import KeyPolicy
from kms_standin.keys import Keys
from kms_standin.server import Role, metadata_listener, service_listener
from kms_standin.service import Service
from kms_standin.signatures import AccessKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION = "eu-central-1"
KEY = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = f"arn:aws:kms:{REGION}:111122223333:key/99999999-12ab-34cd-56ef-1234567890ab"
ROLE = "arn:aws:iam::111122223333:role/enclave-parent"
ADMIN = "arn:aws:iam::111122223333:role/key-admin"
OWNER = "arn:aws:iam::111122223333:role/model-owner"

PCRS = {0: b"\x0a" * 48, 1: b"\x0b" * 48, 2: b"\x0c" * 48}
CONTEXT = {"blindsight:deployment": "tests"}


class Clock:
    """The time, moved as a test likes."""

    def __init__(self) -> None:
        self.moved = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.moved


@dataclass
class StandIn:
    """A running stand-in, as its parts."""

    service: Service
    clock: Clock
    role: Role
    settings: KmsSettings
    state: Path
    """Of the simulated root that it accepts."""

    def producer(self, pcrs: dict[int, bytes] | None = None, state: Path | None = None) -> SimulatedProducer:
        """What attests an enclave with these registers."""
        return SimulatedProducer(state or self.state, PCRS if pcrs is None else pcrs, self.clock)

    def client(self, producer: Any = None, **changed: Any) -> KmsClient:
        """An enclave's client; `changed` are members of its settings."""
        settings = KmsSettings(**{**vars(self.settings), **changed})
        credentials = InstanceCredentials(connector(settings.credentials), self.clock)
        return KmsClient(
            settings, producer or self.producer(), credentials, connector(settings.connect), clock=self.clock
        )

    def as_principal(self, arn: str, operation: str, members: dict[str, Any], **changed: Any) -> Answer:
        """What `arn` is answered to a request of its own, outside of any enclave."""
        name, access = next((name, key) for name, key in self.service.access_keys.items() if key.arn == arn)
        body = json.dumps(members).encode()
        headers = {
            "Host": "localhost",
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"TrentService.{operation}",
        }
        credentials = Credentials(name, changed.get("secret", access.secret), changed.get("token", access.token))
        at = self.clock() + changed.get("late", timedelta())
        sent = sigv4.signed(headers, body, credentials, region=REGION, service="kms", at=at)
        request = Request("POST", "localhost", "/", sent | changed.get("headers", {}), changed.get("body", body))
        return exchange(connector(self.settings.connect), request, tls=self.settings.tls())

    def blob(self, purpose: str, *, arn: str = ADMIN, **changed: Any) -> bytes:
        """A ciphertext whose content none has seen."""
        context = changed.get("context", CONTEXT | {"blindsight:purpose": purpose})
        members = {"KeyId": changed.get("key", KEY), "KeySpec": "AES_256", "EncryptionContext": context}
        answer = self.as_principal(arn, "GenerateDataKeyWithoutPlaintext", members)
        assert answer.status == 200, answer.body
        return base64.b64decode(json.loads(answer.body)["CiphertextBlob"])

    def data_key(self) -> tuple[bytes, bytes]:
        """A bundle's data key as its owner gets it: in the clear, and as a ciphertext."""
        context = CONTEXT | {"blindsight:purpose": "bundle-key"}
        members = {"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": context}
        answer = json.loads(self.as_principal(OWNER, "GenerateDataKey", members).body)
        return base64.b64decode(answer["Plaintext"]), base64.b64decode(answer["CiphertextBlob"])


def policy_text(pcrs: dict[int, bytes] | None = None, *, locked: bool = False) -> str:
    """The key policy that the command writes for these registers."""
    registers = {index: (value.hex(),) for index, value in (PCRS if pcrs is None else pcrs).items()}
    image = keypolicy.Measured("tests", registers)
    return keypolicy.rendered(keypolicy.key_policy([image], role=ROLE, admin=ADMIN, owner=OWNER, locked=locked))


@contextmanager
def stand_in(folder: Path, policy: str | None = None) -> Iterator[StandIn]:
    """A stand-in with two keys of one policy."""
    clock = Clock()
    state = folder / "root"
    root = SimulatedProducer(state, PCRS, clock)
    keys = Keys(folder / "keys.json")
    access = {
        f"AKID{number}": AccessKey(arn, f"secret-{number}", f"token-{number}")
        for number, arn in enumerate((ROLE, ADMIN, OWNER))
    }
    parsed = KeyPolicy(policy or policy_text())
    verifier = Verifier(root.root_fingerprint, "simulated", clock)
    for arn in (KEY, OTHER_KEY):
        keys.make(arn)
    service = Service(REGION, keys, dict.fromkeys((KEY, OTHER_KEY), parsed), access, verifier, clock)
    role = Role("enclave-parent", "AKID0", access["AKID0"], clock)
    listener = service_listener(service, 0, authority.server_tls(folder, "localhost"))
    metadata = metadata_listener(role, 0)
    settings = KmsSettings(
        KEY,
        REGION,
        "localhost",
        CONTEXT,
        connect=f"tcp://127.0.0.1:{listener.port}",
        credentials=f"tcp://127.0.0.1:{metadata.port}",
        trusted_roots=(folder / authority.CERTIFICATE).read_text("ascii"),
    )
    with running(listener.http), running(metadata.http):
        yield StandIn(service, clock, role, settings, state)


@contextmanager
def running(server: Any) -> Iterator[None]:
    """`server` serves in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings_file(path: Path, settings: KmsSettings, **members: object) -> Path:
    """The measured file of `settings`."""
    values = {
        "format": "blindsight-kms/1",
        "key": settings.key,
        "region": settings.region,
        "endpoint": settings.endpoint,
        "encryption_context": dict(settings.context),
        "connect": settings.connect,
        "credentials": settings.credentials,
        "trusted_roots": settings.trusted_roots,
        **members,
    }
    path.write_text(json.dumps(values), encoding="utf-8")
    return path

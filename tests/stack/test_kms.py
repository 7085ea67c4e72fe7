"""A stack whose enclave has its secrets from KMS, as processes: its stand-in, the host's boot configuration, a gateway.

A Cape account outlives its enclave, which keeps nothing; a secret model comes encrypted from the host; other code gets
neither.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from blindsight_cli import main
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.kms import sigv4
from enclave_runtime.kms.connect import connector
from enclave_runtime.kms.credentials import Credentials
from enclave_runtime.kms.settings import KmsSettings
from enclave_runtime.kms.transport import Request, exchange
from tests.support import images
from tests.support.cape_guest import ECHO, Guest, trust_of, zipped
from tests.support.kms import ADMIN, CONTEXT, KEY, OWNER, REGION, ROLE, settings_file
from tests.support.processes import Enclave, Server
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.models import TinyModel

CLASS = 427


class KmsStack(Stack):
    """Its bundle reaches the enclave encrypted, from the host; the root secret comes from KMS."""

    def _start(self) -> None:
        SimulatedProducer(self.state, {})  # Its root, which the stand-in accepts.
        measured = self.folder / "measured.json"
        measured.write_text(json.dumps({"pcrs": {str(index): value for index, value in self.measured.pcrs.items()}}))
        policy = self.folder / "key_policy.json"
        arguments = ["--measurements", measured, "--role", ROLE, "--admin", ADMIN, "--owner", OWNER, "--out", policy]
        written = CliRunner().invoke(main.app, ["kms", "policy", *map(str, arguments)])
        assert written.exit_code == 0, written.output
        self._demand_bound_function(policy)
        self.standin_state, self.settings_path = self.folder / "standin", self.folder / "kms.json"
        self.standin_port, self.metadata_port, self.boot_port = free_port(), free_port(), free_port()
        flags = {
            "state": self.standin_state, "key": KEY, "policy": policy, "root": self.state / "simulated_root.pem",
            "role": ROLE, "port": self.standin_port, "metadata-port": self.metadata_port,
        }  # fmt: skip
        given = [text for name, value in flags.items() for text in (f"--{name}", str(value))]
        principals = ["--principal", ADMIN, "--principal", OWNER]
        self.standin = Server(["kms_standin", "serve", *given, *principals], self._folder("standin"))
        self._servers.append(self.standin)
        wait_until("stand-in serves", lambda: "stand_in" in self.standin.log())
        self.kms = KmsSettings(
            KEY,
            REGION,
            "localhost",
            CONTEXT,
            connect=f"tcp://127.0.0.1:{self.standin_port}",
            credentials=f"tcp://127.0.0.1:{self.metadata_port}",
            trusted_roots=(self.standin_state / "authority.pem").read_text("ascii"),
        )
        self._provision()
        super()._start()

    def _demand_bound_function(self, policy: Path) -> None:
        """The root secret, but not the bundle's key, is for enclaves whose function is in PCR 16 already."""
        members = json.loads(policy.read_text())
        (release,) = (each for each in members["Statement"] if each["Sid"] == "Release1")
        purpose = release["Condition"]["StringEquals"]
        (name,) = purpose
        bound = json.loads(json.dumps(release)) | {"Sid": "Release2"}
        bound["Condition"]["StringEquals"][name] = ["root-secret"]
        bound["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:PCR16"] = self.measured.pcrs[16]
        purpose[name] = ["bundle-key"]
        members["Statement"].append(bound)
        policy.write_text(json.dumps(members))

    def _provision(self) -> None:
        """What owner and administrator do once, with AWS's command line: data key, encrypted bundle, root secret."""
        data_key = self.aws(OWNER, "GenerateDataKey", "bundle-key")
        sealed = self.folder / "function.enc"
        command = [sys.executable, "-m", "enclave_function", "bundle", "encrypt", str(self.bundle), "--json"]
        done = subprocess.run(
            [*command, "--out", str(sealed), "--key", "-"],
            input=json.dumps(data_key),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        made = json.loads(done.stdout)
        root = self.aws(ADMIN, "GenerateDataKeyWithoutPlaintext", "root-secret")["CiphertextBlob"]
        self.boot_file = self.folder / "boot.json"
        self.write_boot_config(root_secret=root, bundle_key=made["bundle_key"])
        settings_file(self.settings_path, self.kms, bundle_sha256=made["function_checksum"])
        self.boot_address = f"tcp://127.0.0.1:{self.boot_port}"
        flags = ["--listen", self.boot_address, "--file", str(self.boot_file), "--bundle", str(sealed)]
        server = Server(["gateway", "boot-config", *flags], self._folder("boot-config"))
        self._servers.append(server)
        wait_until("boot configuration served", lambda: '"listening"' in server.log())

    def write_boot_config(self, **blobs: str) -> None:
        self.boot_file.write_text(json.dumps({"format": "blindsight-boot-config/1", **blobs}))

    def aws(self, arn: str, operation: str, purpose: str) -> dict[str, Any]:
        keys = json.loads((self.standin_state / "access_keys.json").read_text())
        name, key = next((name, key) for name, key in keys.items() if key["arn"] == arn)
        context = CONTEXT | {"blindsight:purpose": purpose}
        body = json.dumps({"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": context}).encode()
        headers = {
            "Host": "localhost",
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"TrentService.{operation}",
        }
        credentials = Credentials(name, key["secret"], key["token"])
        sent = sigv4.signed(headers, body, credentials, region=REGION, service="kms", at=_now())
        answer = exchange(
            connector(self.kms.connect), Request("POST", "localhost", "/", sent, body), tls=self.kms.tls()
        )
        assert answer.status == 200, answer.body
        made: dict[str, Any] = json.loads(answer.body)
        return made

    def start_enclave(self, bundle: Path | None = None, state: Path | None = None, **options: Any) -> Enclave:
        """Without a bundle of its own."""
        given = {"variant": self.variant, "kms": self.settings_path, "boot_config": self.boot_address}
        enclave = Enclave(
            None, self.state, self._folder("enclave"), port=self.enclave_port, workers=1, **(given | options)
        )
        self._servers.append(enclave)
        return enclave

    def refused(self, **options: Any) -> str:
        """What an enclave says that does not start."""
        enclave = self.start_enclave(**options)
        assert enclave.process.wait(60) == 1, enclave.log()
        return enclave.log().splitlines()[-1]


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsStack]:
    stack = KmsStack(colour_model.folder, tmp_path_factory.mktemp("kms"), workers=1, cape=True)
    yield stack
    stack.stop()


def test_an_encrypted_bundle_classifies(stack: KmsStack) -> None:
    answer = stack.client.post("/classify", files={"file": images.plain(CLASS)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["class_id"] == CLASS
    assert (stack.folder / "function.enc").read_bytes().startswith(b"blindsight-sealed-file/1\n")


def test_an_account_outlives_its_enclave_and_other_code_gets_nothing(stack: KmsStack) -> None:
    """In between, the other variant asks, whose registers the key policy does not name."""
    ada = Guest.sign_up("ada", stack.gateway.url, trust_of(stack))
    function, sealed = ada.deploy("echo", zipped(ECHO)), ada.encrypt(b"what ada keeps")
    stack.enclave.stop()
    said = stack.refused(variant="classifier")
    assert "refused to release the secret: AccessDeniedException" in said
    assert "blindsight kms policy" in said
    stack.enclave = stack.start_enclave()
    stack.enclave.wait_warm()
    wait_until("gateway ready again", lambda: stack.client.get("/readyz").status_code == 200)
    assert ada.run(function, sealed) == b"what ada keeps"
    # No file keeps the secret, nor the model.
    assert {path.name for path in stack.state.rglob("*")} == {"simulated_root.pem", "gateway_secret"}


def test_nothing_secret_is_in_any_log(stack: KmsStack) -> None:
    keys = json.loads((stack.standin_state / "access_keys.json").read_text())
    logs = stack.logs()
    assert "secrets released" in logs
    for key in keys.values():
        assert key["secret"] not in logs
        assert key["token"] not in logs

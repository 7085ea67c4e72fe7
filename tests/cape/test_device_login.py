"""Whose login a device gets, and who may say so: the device flow against its abusers, with the real programs."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import tokens
from tests.support.cape_guest import query
from tests.support.raw_websocket import HandshakeRefusedError, WebSocket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cape_host import CapeHost, Person

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def fingerprint(person: Person) -> str:
    """As OpenSSH writes them."""
    digest = hashlib.sha256(person.key.public_key().public_bytes_raw()).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


class Device:
    """A machine without an owner key, on which `person` runs `cape login`."""

    def __init__(self, person: Person, folder: Path, *options: str) -> None:
        self.folder = folder
        self.person = person
        command = [sys.executable, "-m", "blindsight_cli.cape.main", "login", *options]
        self.process = subprocess.Popen(
            command,
            env=person.variables(CAPE_LOCAL_CONFIG_DIR=str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=person.home,
        )
        assert self.process.stdout is not None
        self.code = self.process.stdout.readline().removeprefix("Your CLI confirmation code is: ").strip()
        self.url = self.process.stdout.readline().split()[-1]

    def finish(self, typed: str = "") -> tuple[int, str]:
        """How it ended, and all that its user was told."""
        told = "".join(self.process.communicate(typed, timeout=60))
        return self.process.returncode, told

    def cape(self, *arguments: str, status: int = 0) -> Any:
        return self.person.cape(*arguments, status=status, CAPE_LOCAL_CONFIG_DIR=str(self.folder))

    @property
    def login(self) -> dict[str, str]:
        content: dict[str, str] = json.loads((self.folder / "auth").read_bytes())
        return content


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(processes: ExitStack, person: Person, folder: Path, *options: str) -> Device:
    device = Device(person, folder, *options)
    processes.enter_context(device.process)
    processes.callback(device.process.kill)
    return device


@pytest.fixture
def client(cape_host: CapeHost) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=cape_host.plain_url, trust_env=False) as client:
        yield client


def bearer(person: Person) -> dict[str, str]:
    return {"authorization": f"Bearer {person.token('account')}"}


def decide(client: httpx2.Client, person: Person, code: str, *, allow: bool = True) -> httpx2.Response:
    token = {"access_token": person.token("account")} if allow else {}
    body = {"user_code": code, "allow": allow, **token}
    return client.post("/oauth/device/decision", json=body, headers=bearer(person))


def begin(client: httpx2.Client, **fields: str) -> dict[str, Any]:
    answer = client.post("/oauth/device/code", data={"client_id": "x", **fields})
    assert answer.status_code == 200, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


def test_a_login_that_another_account_slips_in_is_not_used(
    client: httpx2.Client, ada: Person, bob: Person, processes: ExitStack, tmp_path: Path
) -> None:
    """Bob has seen the code on ada's screen: what ada encrypts there would be for bob."""
    asked, scripted = (start(processes, ada, tmp_path / name) for name in ("asked", "scripted"))
    for device in (asked, scripted):
        assert decide(client, bob, device.code).status_code == 200
    status, told = asked.finish("n\n")
    assert not (asked.folder / "auth").exists(), "the device logged in as another account, unasked"
    assert status == 1
    assert "bob" in told
    assert fingerprint(bob) in told
    # A script has to say whose login it is, or that it takes any.
    status, told = scripted.finish()
    assert (status, (scripted.folder / "auth").exists()) == (1, False)
    assert "--owner" in told


def test_a_login_is_used_once_its_user_says_so(ada: Person, processes: ExitStack, tmp_path: Path) -> None:
    devices = [
        start(processes, ada, tmp_path / "typed"),
        start(processes, ada, tmp_path / "any", "--yes"),
        start(processes, ada, tmp_path / "owner", "--owner", fingerprint(ada)),
        start(processes, ada, tmp_path / "other", "--owner", "SHA256:" + "A" * 43),
    ]
    for device in devices:
        ada.cape("login", "--approve", device.code, stdin=b"y\n")
    for device, typed, expected in zip(devices, ("y\n", "", "", "y\n"), (0, 0, 0, 1), strict=True):
        status, told = device.finish(typed)
        assert status == expected, told
        assert fingerprint(ada) in told
        assert (device.folder / "auth").exists() is (expected == 0)


def test_a_login_for_one_account_is_that_accounts_to_decide(
    client: httpx2.Client, ada: Person, bob: Person, processes: ExitStack, tmp_path: Path
) -> None:
    device = start(processes, ada, tmp_path / "device", "--username", "Ada")
    for allow in (True, False):
        answer = decide(client, bob, device.code, allow=allow)
        assert answer.status_code == 404, "another account decided about ada's login"
    ada.cape("login", "--approve", device.code, stdin=b"y\n")
    status, told = device.finish("y\n")
    assert (status, device.login["access_token"] != "") == (0, True), told
    assert tokens.peek(device.login["access_token"]).username == "ada"


def test_a_name_that_nobody_has_is_told_at_once(client: httpx2.Client) -> None:
    answer = client.post("/oauth/device/code", data={"client_id": "x", "login_hint": "no-such-user"})
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "message"}


def test_whoever_approves_sees_which_device_it_is(
    client: httpx2.Client, ada: Person, processes: ExitStack, tmp_path: Path
) -> None:
    """And as whom it will act; nothing is approved before that was answered."""
    device = start(processes, ada, tmp_path / "device")
    for typed in (b"", b"n\n", b"what?\n"):
        done = ada.cape("login", "--approve", device.code, stdin=typed, status=1)
        assert "approved" not in done.text, "approved without a question"
        for shown in (socket.gethostname()[:60], "127.0.0.1", "ada", fingerprint(ada), device.code):
            assert shown in done.err, shown
    done = ada.cape("login", "--approve", device.code, stdin=b"y\n")
    assert done.text == f"Login with code {device.code} approved.\n"
    assert device.finish("y\n")[0] == 0


def test_the_page_shows_it_too(client: httpx2.Client, ada: Person) -> None:
    begun = begin(client, device_name="ada's <b>laptop</b>", login_hint="ada")
    plain = begin(client, device_name="laptop-2")
    page = client.get("/device", params={"user_code": plain["user_code"]})
    assert "laptop-2" in page.text, "the page does not say which device it is"
    assert "127.0.0.1" in page.text
    page = client.get("/device", params={"user_code": begun["user_code"]})
    assert "<b>" not in page.text
    assert ">ada<" in page.text
    assert fingerprint(ada) in page.text


def test_a_devices_login_is_listed_and_revoked(
    cape_host: CapeHost, ada: Person, processes: ExitStack, tmp_path: Path
) -> None:
    """By the enclave, too: the token opens nothing any more, whichever of the two the device shows."""
    device = start(processes, ada, tmp_path / "device")
    ada.cape("login", "--approve", device.code, stdin=b"y\n")
    assert device.finish("y\n")[0] == 0
    device.cape("list")
    listed = json.loads(ada.cape("token", "list", "-o", "json").text)["tokens"]
    token_id = tokens.peek(device.login["access_token"]).id
    assert [each["id"] for each in listed if each["id"] == token_id] == [token_id], "the login is not listed"
    (shown,) = (each for each in listed if each["id"] == token_id)
    assert socket.gethostname()[:60] in shown["name"]
    assert shown["expiry"]
    ada.cape("token", "delete", token_id)
    assert "revoked" in device.cape("token", "list", status=1).err
    for name in ("access_token", "id_token"):
        with pytest.raises(HandshakeRefusedError) as caught:
            WebSocket(cape_host.plain_url, "/v1/key", ["cape.runtime", device.login[name]])
        assert caught.value.status == 401, name
        assert b"revoked" in caught.value.body


def test_an_id_token_opens_nothing_that_revoking_leaves_open(client: httpx2.Client, ada: Person) -> None:
    code = begin(client)["user_code"]
    access = ada.token("account")
    for identity in (ada.token("account"), ada.token("run")):
        body = {"user_code": code, "allow": True, "access_token": access, "id_token": identity}
        answer = client.post("/oauth/device/decision", json=body, headers=bearer(ada))
        assert answer.status_code == 400, "an unlisted token was handed out with the login"
    identity = ada.token("run", token_id=tokens.peek(access).id)
    body = {"user_code": code, "allow": True, "access_token": access, "id_token": identity}
    assert client.post("/oauth/device/decision", json=body, headers=bearer(ada)).status_code == 200


def test_codes_cannot_be_guessed(cape_host: CapeHost, client: httpx2.Client, ada: Person) -> None:
    """A few are mistyped; after ten wrong ones an account decides nothing for a while, not even with the right one."""
    with cape_host.stack.another_gateway(tls_port=0) as gateway:
        code = begin(gateway.client)["user_code"]
        wrong = [f"BCDF-GHJ{letter}" for letter in "BCDFGHJKLMNP"]
        answers = [decide(gateway.client, ada, guess, allow=False).status_code for guess in wrong]
        assert answers == [404] * 10 + [429] * 2, answers
        answer = decide(gateway.client, ada, code, allow=False)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 60
        asked = gateway.client.get("/oauth/device/login", params={"user_code": code}, headers=bearer(ada))
        assert asked.status_code == 429
        # The page, which asks for no token, is no way around that.
        pages = [gateway.client.get("/device", params={"user_code": guess}).text for guess in wrong * 4]
        assert ["Too many wrong codes" in page for page in pages] == [False] * 10 + [True] * 38
        assert "127.0.0.1" not in gateway.client.get("/device", params={"user_code": code}).text


def test_another_hosts_idea_of_the_owner_is_not_enough(
    cape_host: CapeHost, client: httpx2.Client, ada: Person, tmp_path: Path, processes: ExitStack
) -> None:
    """A token that the account's owner key has not signed is no login, though the host delivers it."""
    device = start(processes, ada, tmp_path / "device")
    # It asks every second: before the token is replaced, it would be given the true one.
    device.process.send_signal(signal.SIGSTOP)
    assert decide(client, ada, device.code).status_code == 200
    forged = tokens.mint(Ed25519PrivateKey.generate(), "ada", "account", lifetime=timedelta(days=1))
    database = cape_host.stack.folder / "cape.sqlite"
    query(
        database,
        "UPDATE device_codes SET access_token = ?, id_token = ? WHERE user_code = ?",
        forged,
        forged,
        device.code,
    )
    device.process.send_signal(signal.SIGCONT)
    status, told = device.finish("y\n")
    assert (status, (device.folder / "auth").exists()) == (1, False), told

"""The host as the enemy, as in `test_hostile_host`: it puts an account of its own into the place of another's.

The host makes that account in the enclave, under the same name, and swaps the rows of its running database. Everything
that the enclave then attests is true: there is an account of that name, and this is its key.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support import preloaded
from tests.support.cape_front import Owner, owner
from tests.support.cape_guest import enveloped, query, trust_of
from tests.support.hostile import CANARY, GREEDY, World
from tests.support.proxies import without_proxies

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]


def fingerprint(owner_key: bytes) -> str:
    return f"SHA256:{base64.b64encode(hashlib.sha256(owner_key).digest()).decode().rstrip('=')}"


@dataclass(frozen=True)
class Caller:
    """A person with a home, and our `cape` in it."""

    home: Path
    world: World

    def cape(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        root = self.home / "root.pem"
        certificate = trust_of(self.world.stack).root
        assert certificate is not None
        root.write_bytes(certificate.public_bytes(Encoding.PEM))
        ours = ("BLINDSIGHT_", "CAPE_", "LOCAL_")
        variables = {name: value for name, value in without_proxies().items() if not name.startswith(ours)}
        settings = {"CAPE_ENCLAVE_HOST": self.world.stack.gateway.url, "CAPE_ATTESTATION_ROOT": str(root)}
        env = {**variables, **settings, "HOME": str(self.home), "PYTHONPATH": str(REPOSITORY)}
        return preloaded.run_text("blindsight_cli.cape.main", arguments, cwd=self.home, env=env)


@dataclass(frozen=True)
class Impostor:
    """The host's account under another's name, with a function that gives away what it decrypts."""

    owner: Owner
    record: bytes
    function_id: str
    bundle: bytes
    world: World

    @classmethod
    def make(cls, world: World, username: str) -> Impostor:
        hosts = owner(username)
        made = world.hands.call("create_account", username=username, owner_public_key=hosts.public, proof=hosts.token())
        checksum = hashlib.sha256(GREEDY).hexdigest()
        token = hosts.token("deploy", func_checksum=checksum, function_name="own", public=False)
        added = world.hands.call("add_function", record=made["record"], token=token)
        with world.hands.session(route="key", token=hosts.token(), record=added["record"]) as line:
            key = base64.b64decode(json.loads(line.document().user_data or b"")["key"])
        return cls(hosts, added["record"], added["id"], enveloped(key, GREEDY), world)

    def reads(self, value: str) -> list[bytes]:
        """What the host gets out of what a command printed."""
        if not value:
            return []
        token = self.owner.token("run")
        return self.world.hands.run(
            [value.strip().encode()], self.bundle, token=token, record=self.record, owner_record=self.record,
            function_id=self.function_id,
        )  # fmt: skip


@pytest.fixture(scope="module")
def impostor(world: World) -> Impostor:
    return Impostor.make(world, "ada")


@pytest.fixture
def ada(world: World, tmp_path: Path) -> Caller:
    """With the owner key and the login of the account that is there."""
    caller = Caller(tmp_path, world)
    folder = tmp_path / ".config" / "cape"
    folder.mkdir(parents=True, mode=0o700)
    pem = world.ada.owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "owner.key").write_bytes(pem)
    (folder / "owner.key").chmod(0o600)
    done = caller.cape("signup", "ada")
    assert done.returncode == 0, done.stderr
    return caller


@pytest.fixture
def swap(world: World, impostor: Impostor) -> Iterator[Callable[[], None]]:
    """From here on the host shows its own account for ada's; its processes run on, and notice nothing."""
    statement = "UPDATE accounts SET record = ?, owner_public_key = ? WHERE username = 'ada'"
    before = world.record("ada")

    def tamper() -> None:
        query(world.database, statement, impostor.record, impostor.owner.public)

    yield tamper
    query(world.database, statement, before, world.ada.owner.public)


def test_what_ada_encrypts_for_herself_the_host_does_not_read(
    world: World, ada: Caller, impostor: Impostor, swap: Callable[[], None]
) -> None:
    before = ada.cape("encrypt", CANARY.decode())
    assert before.stdout.startswith("cape:")
    swap()
    done = ada.cape("encrypt", CANARY.decode())
    assert impostor.reads(done.stdout) == []
    assert done.returncode == 1
    assert fingerprint(impostor.owner.public) in done.stderr
    assert fingerprint(world.ada.owner.public) in done.stderr
    named = ada.cape("encrypt", CANARY.decode(), "--username", "ADA")
    assert impostor.reads(named.stdout) == []
    (ada.home / ".config" / "cape" / "capekey.pub.der").unlink()
    for argv in (("key",), ("login",)):
        assert ada.cape(*argv).returncode == (0 if argv == ("login",) else 1)
        assert not (ada.home / ".config" / "cape" / "capekey.pub.der").exists()


def test_nor_what_others_encrypt_for_her(
    world: World, impostor: Impostor, swap: Callable[[], None], tmp_path: Path
) -> None:
    bob = Caller(tmp_path, world)
    assert bob.cape("encrypt", "hello", "--username", "ada").stdout.startswith("cape:")
    swap()
    done = bob.cape("encrypt", CANARY.decode(), "--username", "ada")
    assert impostor.reads(done.stdout) == []
    assert f"--owner {fingerprint(impostor.owner.public)}" in done.stderr


def test_not_even_at_the_first_use_if_they_know_her_owner(
    world: World, impostor: Impostor, swap: Callable[[], None], tmp_path: Path
) -> None:
    swap()
    bob, adas = Caller(tmp_path, world), fingerprint(world.ada.owner.public)
    done = bob.cape("encrypt", CANARY.decode(), "--username", "ada", "--owner", adas)
    assert impostor.reads(done.stdout) == []
    assert done.returncode == 1
    # Without, the first use is the host's chance: this is what the fingerprint is shown for.
    done = bob.cape("encrypt", "hello", "--username", "ada")
    assert impostor.reads(done.stdout) == [b"took hello"]
    assert fingerprint(impostor.owner.public) in done.stderr

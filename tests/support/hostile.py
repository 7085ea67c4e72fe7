"""A Cape host whose operator is the enemy, and the search for what it must not have seen."""

from __future__ import annotations

import base64
import contextlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import BlindsightError
from tests.support.cape_guest import ECHO, Guest, Hands, query, record_of, zipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.stack import Stack


CANARY = b"canary: the test came back positive"
CODE_CANARY = b"canary: what this function does is a secret"
PRIVATE = zipped(ECHO + f"# {CODE_CANARY.decode()}\n")
OTHER = zipped(ECHO + f"# other; {CODE_CANARY.decode()}\n")
GREEDY = zipped("def cape_handler(data):\n    return b'took ' + data\n")


@dataclass
class World:
    """A Cape host with two people's functions, and what its operator can do.

    `ciphertext` is of ada's; no caller has had it decrypted yet. `heard` is what the gateway's clients were told.
    """

    stack: Stack
    ada: Guest
    bob: Guest
    functions: dict[str, str]
    ciphertext: bytes
    hands: Hands
    heard: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.stack.folder / "cape.sqlite"

    @property
    def bundles(self) -> Path:
        return self.stack.folder / "bundles"

    def record(self, username: str) -> bytes:
        return record_of(self.database, username)

    def bundle(self, name: str) -> bytes:
        return (self.bundles / self.functions[name]).read_bytes()

    def run(self, name: str, token: str, *, caller: str = "ada", of: str = "ada", **changes: Any) -> list[bytes]:
        """Have a function answer the ciphertext, with the records and the bundle that the host has."""
        fields = {
            "token": token, "record": self.record(caller), "owner_record": self.record(of),
            "function_id": self.functions[name], **changes,
        }  # fmt: skip
        return self.hands.run([self.ciphertext], fields.pop("bundle", None) or self.bundle(name), **fields)

    @contextlib.contextmanager
    def tampered(self, tamper: Callable[[], None]) -> Iterator[None]:
        """The gateway with its files changed while it was stopped; all is put back afterwards."""
        with self.kept():
            self.restart(tamper)
            yield

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever happens to the gateway's files in the block is undone."""
        before = self.copy("before")
        try:
            yield
        finally:
            self.restart(lambda: self.put_back(before))

    def copy(self, name: str) -> Path:
        """A copy of the gateway's store."""
        folder = self.stack.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        query(self.database, f"VACUUM INTO '{folder / 'cape.sqlite'}'")
        shutil.copytree(self.bundles, folder / "bundles")
        return folder

    def put_back(self, copy: Path) -> None:
        for path in self.stack.folder.glob("cape.sqlite*"):
            path.unlink()
        shutil.copy(copy / "cape.sqlite", self.database)
        shutil.rmtree(self.bundles)
        shutil.copytree(copy / "bundles", self.bundles)

    def restart(self, meanwhile: Callable[[], None]) -> None:
        if self.stack.gateway.running:
            self.stack.gateway.stop()
        meanwhile()
        self.stack.gateway = self.stack.start_gateway()
        self.stack.gateway.wait_ready()
        self.ada.url = self.bob.url = self.stack.gateway.url


def found(recording: bytes) -> list[bytes]:
    """The canaries that are in `recording`, as they are, in hexadecimal or anywhere in base64."""
    forms = {}
    for canary in (CANARY, CODE_CANARY):
        forms[canary] = canary
        forms[canary.hex().encode()] = canary
        for shift in range(3):
            # What surrounds the canary changes the first and last characters.
            forms[base64.b64encode(bytes(shift) + canary)[4:-4]] = canary
    return [canary for form, canary in forms.items() if form in recording]


def on_disk(world: World) -> bytes:
    stack = world.stack
    kept = [*stack.folder.glob("cape.sqlite*"), *stack.folder.glob("bundles/*"), *stack.folder.glob("before/**/*")]
    return b"\n".join(path.read_bytes() for path in kept if path.is_file()) + stack.logs().encode()


@contextlib.contextmanager
def told(world: World, *words: str) -> Iterator[None]:
    """The gateway's client is refused, with one of these words."""
    with pytest.raises(BlindsightError) as caught:
        yield
    world.heard.append(str(caught.value))
    assert any(text in str(caught.value) for text in words), str(caught.value)

"""docs/day-two.md: its commands are typed, on stores and stacks as it describes them."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight.attestation import Policy
from blindsight.attestation.release import Release
from blindsight.cape import ids
from blindsight.wire.protocol import FrameKind
from blindsight_cli import stored
from gateway import tokens
from gateway.cape.bundles import Bundles
from gateway.cape.store import FunctionRow, Store, TokenRow
from tests.docs.reader import type_in
from tests.support import wire
from tests.support.documented import commands_of
from tests.support.stack import root_fingerprint
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from tests.support.documented import Command
    from tests.support.stack import Stack

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader types: with `.venv`, a stack's folder `.blindsight`, and a gateway's files."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    state = tmp_path / ".blindsight"
    for name in ("gateway", "enclave", "cape"):
        (state / name).mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    (state / "enclave" / "root_secret").write_bytes(b"r" * 32)
    (state / "cape" / "owner.key").write_bytes(b"a key")
    tokens.create("alice", tmp_path / "tokens")
    asyncio.run(fill(f"sqlite:///{stored.database(state)}", state / "gateway" / "bundles"))
    asyncio.run(fill(f"sqlite:///{tmp_path / 'cape.sqlite'}", tmp_path / "bundles"))
    return tmp_path


async def fill(url: str, folder: Path) -> None:
    store, bundles = Store(url), Bundles(folder)
    await store.upgrade()
    for name in ("ada", "bob"):
        await store.add_account(name, name[:1].encode() * 32, b"a record")
    row = FunctionRow(ids.new(), "ada", "echo", True, b"c" * 32, 7, NOW)
    async with bundles.receiving() as upload:
        await upload.write(b"a bundle"[:7])
        await upload.keep(row.id)
    await store.deploy_function(row, b"the next record", 1)
    await store.add_token(TokenRow(ids.new(), "ada", "t", "", None, NOW))
    await store.close()


def typed(folder: Path, *sections: list[Command]) -> list[str]:
    found = [command for section in sections for command in section]
    return type_in(folder, found, {})


def test_keys_and_moving(folder: Path, tiny_stack: Stack) -> None:
    """The access secret of a running enclave is replaced: its gateway goes on, and the old secret is refused."""
    state = folder / "enclave"
    port = free_port()
    enclave = tiny_stack.start_enclave(state=state, port=port, workers=1, gateway_secret=state / "gateway_secret")
    enclave.wait_warm()
    old = folder / "old"
    old.write_bytes((state / "gateway_secret").read_bytes())
    old.chmod(0o600)
    policy = folder / "accepting.json"
    (release,) = tiny_stack.policy.releases
    mine = dataclasses.replace(release, roots=frozenset({root_fingerprint(state)}))
    policy.write_text(Policy(releases=(mine,)).to_json())
    settings = {"policy": policy, "enclave": loopback(port), "enclave_secret_file": state / "gateway_secret"}
    with tiny_stack.another_gateway(**settings) as gateway:
        lacks = typed(
            folder,
            commands_of("docs/day-two.md", "Keys and tokens"),
            commands_of("docs/day-two.md", "Moving to another machine"),
        )
        assert lacks == []
        enclave.stop()
        enclave = tiny_stack.start_enclave(state=state, port=port, workers=1, gateway_secret=state / "gateway_secret")
        enclave.wait_warm()
        gateway.wait_ready()
        assert (state / "gateway_secret").read_bytes() != old.read_bytes()
        with pytest.raises(AssertionError, match=str(FrameKind.REFUSAL.value)), wire.admitted(port, old, seconds=10):
            pass
    enclave.stop()
    moved = folder / "elsewhere"
    for name in ("enclave/root_secret", "cape/owner.key"):
        assert (moved / name).read_bytes() == (folder / ".blindsight" / name).read_bytes()
    assert stored.accounts(moved) == 2


def test_a_policy_roll_out(folder: Path) -> None:
    releases = [Release(kind="nitro", pcrs={0: frozenset({value * 48})}, any_function=True) for value in ("aa", "bb")]
    old = Policy(releases=(dataclasses.replace(releases[0], name="1.0.0"),))
    (folder / "policy.json").write_text(old.to_json())
    (folder / "new.json").write_text(Policy(releases=(releases[1],)).to_json())
    assert typed(folder, commands_of("docs/day-two.md", "Policy roll-out")) == []
    assert [release.name for release in Policy.load(folder / "policy.json").releases] == ["2.0.0"]


def test_the_schema(folder: Path) -> None:
    assert typed(folder, commands_of("docs/day-two.md", "Schema of the database")) == []


def test_backup_restore_and_the_loss_of_the_root_secret(folder: Path) -> None:
    lacks = typed(
        folder,
        commands_of("docs/day-two.md", "Backup and restore"),
        commands_of("docs/day-two.md", "Loss of the root secret"),
    )
    assert lacks == []
    assert (folder / "restored" / "enclave" / "root_secret").read_bytes() == b"r" * 32
    assert (folder / "new-tokens").read_bytes() == (folder / "tokens").read_bytes()
    assert stored.accounts(folder / "restored") == 0
    assert stored.accounts(folder / ".blindsight") == 2

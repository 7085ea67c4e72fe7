"""`python -m gateway forget-accounts`: one account, or all, with everything that is theirs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.audit.verify import verify
from tests.gateway.cape.test_backup import content, files_of, filled
from tests.gateway.cape.test_migrations import command

if TYPE_CHECKING:
    from pathlib import Path


async def test_one_or_all(store_url: str, tmp_path: Path) -> None:
    store, functions = await filled(store_url, tmp_path / "bundles")
    before = await content(store)

    def forget(*words: str) -> tuple[int, str]:
        done = command(tmp_path, store_url, "forget-accounts", *words, bundles=tmp_path / "bundles")
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    status, said = forget("bob", "eve", "--yes")
    assert (status, "there is no account 'eve'; nothing was deleted." in said) == (1, True)
    assert forget() == (1, "2 accounts would be deleted, with their functions and tokens. To do so, add --yes.\n")
    assert forget("ADA")[1].startswith("1 accounts would be deleted")
    assert await content(store) == before
    assert forget("ADA", "ada", "--yes") == (0, "1 accounts and 2 functions are deleted.\n")
    after = await content(store)
    assert [row.username for row in after["accounts"]] == ["bob"]
    assert {row.owner for row in after["functions"]} == {"bob"}
    assert after["tokens"] == []
    assert files_of(tmp_path / "bundles").keys() == {functions[2].id}
    assert forget("--yes") == (0, "1 accounts and 1 functions are deleted.\n")
    assert not any((await content(store)).values())
    assert files_of(tmp_path / "bundles") == {}
    await store.close()


async def test_deletions_are_in_the_audit_log(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store, _ = await filled(url, tmp_path / "bundles")
    before = await content(store)

    def forget(audit_log: Path, *words: str) -> int:
        settings = {"bundles": tmp_path / "bundles", "audit_log": audit_log}
        return command(tmp_path, url, "forget-accounts", *words, **settings).returncode

    assert forget(tmp_path / "none" / "audit.log", "--yes") == 1
    assert await content(store) == before
    file = tmp_path / "audit.log"
    assert forget(file) == 1  # It only says how many.
    assert forget(file, "--yes") == 0
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert {(entry["act"], entry["subject"], entry["outcome"]) for entry in entries} == {
        ("account.deleted", "Ada", "done"),
        ("account.deleted", "bob", "done"),
    }
    assert all(entry["actor"].startswith("uid ") for entry in entries)
    verify(file)
    await store.close()

"""The watching of the policy file: a mistake within it must not keep a recall from being in force."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from blindsight.attestation import Policy, Release
from gateway import policyfile
from gateway.audit import facts
from gateway.audit.log import Audit
from gateway.policyfile import PolicyFile
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def policy(pcr: str) -> Policy:
    pcrs = {0: frozenset({pcr * 48})}
    return Policy(releases=(Release(kind="nitro", name=pcr, pcrs=pcrs, function_checksums=frozenset({"cc" * 32})),))


OLD, NEW = policy("aa"), policy("bb")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(policyfile, "_LOOK_SECONDS", 0.01)
    path = tmp_path / "policy.json"
    path.write_text(OLD.to_json())
    return path


@pytest.mark.parametrize("broken", ["load_policy", "policy"])
async def test_a_mistake_does_not_end_the_watching(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """Of the reader, or of the audit log's facts."""
    watched = PolicyFile(file, Audit())
    failed: list[object] = []

    def fail(*_: object) -> None:
        failed.append(1)
        raise RuntimeError

    original = getattr(facts, broken)
    monkeypatch.setattr(facts, broken, fail)
    used: list[Policy] = []
    task = asyncio.create_task(watched.watch(used.append))
    await asyncio.to_thread(file.write_text, NEW.to_json())
    try:
        await asyncio.to_thread(wait_until, "the mistake", lambda: failed)
        monkeypatch.setattr(facts, broken, original)
        await asyncio.to_thread(wait_until, "the new policy", lambda: used)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert used[0] == NEW == watched.in_force
    assert "policy file" in caplog.text

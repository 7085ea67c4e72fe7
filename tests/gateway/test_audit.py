"""The audit log of a gateway's process and of the commands: enclaves, rotation, a full disk, the ordinary log."""

from __future__ import annotations

import json
import resource
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gateway import tokens
from gateway.audit.trail import Trail
from gateway.audit.verify import report, verify
from tests.support.images import plain
from tests.support.processes import environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def entry(file: Path, act: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = wait_until(
        act, lambda: [each for each in entries(file) if each["act"] == act], seconds=15
    )
    return found[0]


def command(*arguments: str, folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        env=environment(folder, settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_refused_evidence(tiny_stack: Stack, tmp_path: Path) -> None:
    policy = json.loads(tiny_stack.policy_file.read_text())
    policy["releases"][0]["pcrs"]["0"] = ["11" * 48]
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    file = tmp_path / "audit.log"
    with tiny_stack.another_gateway(ready=False, audit_log=file, policy=tmp_path / "policy.json") as gateway:
        refused = entry(file, "enclave.refused")
        wait_until("further attempts", lambda: gateway.metric("evidence_refused_total") > 3)
    assert (refused["outcome"], refused["step"]) == ("pcr_mismatch", 7)
    assert refused["claimed_measurements"]["0"] == tiny_stack.measured.pcrs[0]
    assert len(refused["evidence_sha256"]) == 64
    assert [each["act"] for each in entries(file)] == [
        "gateway.started",
        "policy.loaded",
        "enclave.refused",
        "gateway.stopped",
    ]


def test_refused_access(tiny_stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    secret = tmp_path / "secret"
    secret.write_text("ab" * 32)
    secret.chmod(0o600)
    with tiny_stack.another_gateway(ready=False, audit_log=file, enclave_secret_file=secret):
        refused = entry(file, "enclave.access_refused")
    assert refused["outcome"] == "access_refused"
    assert len([each for each in entries(file) if each["act"] == "enclave.access_refused"]) == 1
    assert "abab" not in file.read_text()


@pytest.mark.parametrize("by", ["signal", "being noticed"])
def test_rotation(tiny_stack: Stack, tmp_path: Path, by: str) -> None:
    file, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    names = tmp_path / "tokens"
    tokens.create("first", names)
    with tiny_stack.another_gateway(audit_log=file, tokens_file=names) as gateway:
        entry(file, "enclave.accepted")
        file.rename(old)
        if by == "signal":
            gateway.process.send_signal(signal.SIGHUP)
        tokens.create("second", names)
        assert entry(file, "token.added")["subject"] == "second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    report([old, file])
    assert entries(file)[-1]["act"] == "gateway.stopped"


def test_a_full_disk_is_counted_and_told_and_acts_go_on(tiny_stack: Stack, tmp_path: Path) -> None:
    file, names = tmp_path / "audit.log", tmp_path / "tokens"
    tokens.create("first", names)
    # So long that the limit, which holds for each file, leaves room for the gateway's own log.
    filler = Trail(file)
    for _ in range(100):
        filler.append({"time": "", "act": "token.added", "subject": "x" * 1000}, time="")
    with tiny_stack.another_gateway(audit_log=file, tokens_file=names) as gateway:
        entry(file, "enclave.accepted")
        limit = file.stat().st_size + 50
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        second = tokens.create("second", names)
        wait_until("the loss", lambda: gateway.metric("audit_lost_total"))
        answer = gateway.client.post("/classify", content=plain(1), headers={"authorization": f"Bearer {second}"})
        assert answer.status_code == 200
        (lost,) = [line for line in gateway.events() if line["event"] == "audit entry not written to its file"]
        assert (lost["level"], lost["audit"], lost["act"], lost["subject"]) == ("error", True, "token.added", "second")
        verify(file)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    verify(file)
    assert entries(file)[-1]["act"] == "gateway.stopped"


def test_without_the_setting_acts_are_in_the_ordinary_log(tiny_stack: Stack) -> None:
    with tiny_stack.another_gateway() as gateway:
        pass
    acts = [line for line in gateway.events() if line.get("audit")]
    assert [line["act"] for line in acts] == [
        "gateway.started",
        "policy.loaded",
        "enclave.accepted",
        "gateway.stopped",
    ]
    assert all(line["event"] == "audit" for line in acts)
    assert "BLINDSIGHT_POLICY" in acts[0]["settings"]


def test_a_file_that_cannot_be_used_ends_the_start(tiny_stack: Stack, tmp_path: Path) -> None:
    done = command("serve", folder=tmp_path, policy=tiny_stack.policy_file, audit_log=tmp_path / "none" / "file")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("gateway: BLINDSIGHT_AUDIT_LOG: ")


def test_commands_write_to_the_same_file(tmp_path: Path) -> None:
    file, names = tmp_path / "audit.log", tmp_path / "tokens"
    made = command("token", "alice", "--file", str(names), folder=tmp_path, audit_log=file)
    assert (made.returncode, made.stderr) == (0, "")
    (tmp_path / ".env").write_text(f"BLINDSIGHT_AUDIT_LOG={file}\n")
    assert command("revoke", "alice", "--file", str(names), folder=tmp_path).returncode == 0
    assert command("revoke", "alice", "--file", str(names), folder=tmp_path).returncode == 1
    added, revoked = entries(file)
    assert [added["act"], revoked["act"]] == ["token.added", "token.revoked"]
    assert added["actor"].startswith("uid ")
    assert (added["subject"], added["outcome"]) == ("alice", "done")
    assert made.stdout.strip() not in file.read_text()
    verify(file)


def test_a_command_does_nothing_that_it_cannot_record(tmp_path: Path) -> None:
    names = tmp_path / "tokens"
    done = command("token", "alice", "--file", str(names), folder=tmp_path, audit_log=tmp_path / "none" / "file")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert not names.exists()


def test_without_the_setting_commands_write_none(tmp_path: Path) -> None:
    done = command("token", "alice", "--file", str(tmp_path / "tokens"), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"tokens", "tmp"}

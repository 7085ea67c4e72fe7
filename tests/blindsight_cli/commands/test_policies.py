"""`blindsight policy`: the steps of a roll-out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from blindsight.attestation import Policy
from blindsight.attestation.release import Release
from tests.support.command import blindsight

if TYPE_CHECKING:
    from pathlib import Path

OLD = Release(kind="nitro", pcrs={0: frozenset({"aa" * 48}), 16: frozenset({"cc" * 48})}, name="1.0.0")
NEW = Release(kind="nitro", pcrs={0: frozenset({"bb" * 48}), 16: frozenset({"cc" * 48})})


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The policy in force, and that of the new release."""
    current, new = tmp_path / "policy.json", tmp_path / "new.json"
    current.write_text(Policy(releases=(OLD,), minimum_version=None, max_age=200).to_json())
    new.write_text(Policy(releases=(NEW,), refuse=frozenset({"dd" * 48})).to_json())
    return current, new


def test_old_then_both_then_new(files: tuple[Path, Path], tmp_path: Path) -> None:
    current, new = files
    done = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "2.0.0")
    assert done.returncode == 0, done.stderr
    policy = Policy.load(current)
    named = dataclasses.replace(NEW, name="2.0.0")
    assert (policy.releases, policy.refuse, policy.max_age) == ((OLD, named), {"dd" * 48}, 200)
    assert blindsight(tmp_path, "policy", "show", current).stdout.splitlines()[:2] == done.stdout.splitlines()[:2]
    again = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "2.0.0")
    assert (again.returncode, "accepts this release already" in again.stderr) == (1, True)
    done = blindsight(tmp_path, "policy", "remove-release", current, "--release", "1.0.0", "--recall")
    assert done.returncode == 0, done.stderr
    policy = Policy.load(current)
    # The function that both have is not recalled.
    assert (policy.releases, policy.refuse) == ((named,), {"aa" * 48, "dd" * 48})


@pytest.mark.parametrize("release", ["3.0.0", "3", "0", "", "-1"])
def test_a_release_that_is_none(files: tuple[Path, Path], tmp_path: Path, release: str) -> None:
    before = files[0].read_bytes()
    done = blindsight(tmp_path, "policy", "remove-release", files[0], f"--release={release}")
    assert (done.returncode, "no single release" in done.stderr) == (1, True)
    assert files[0].read_bytes() == before


def test_what_would_leave_no_policy_changes_nothing(files: tuple[Path, Path], tmp_path: Path) -> None:
    current, new = files
    before = current.read_bytes()
    last = blindsight(tmp_path, "policy", "remove-release", current, "--release", "1")
    assert (last.returncode, "at least one release" in last.stderr) == (1, True)
    (tmp_path / "bad.json").write_text("{")
    for words in (["add-release", current, "--from", "bad.json"], ["show", "bad.json"], ["show", "missing.json"]):
        done = blindsight(tmp_path, "policy", *words)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
    renamed = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "1.0.0")
    assert (renamed.returncode, "another release called 1.0.0" in renamed.stderr) == (1, True)
    assert current.read_bytes() == before


def test_nothing_is_recalled_that_stays_accepted(tmp_path: Path) -> None:
    same = dataclasses.replace(OLD, name="1.0.1", model_digests=frozenset({"ee" * 32}))
    (tmp_path / "policy.json").write_text(Policy(releases=(OLD, same)).to_json())
    done = blindsight(tmp_path, "policy", "remove-release", "policy.json", "--release", "1.0.0", "--recall")
    assert (done.returncode, "without --recall" in done.stderr) == (1, True)

"""`blindsight policy`: the steps of a roll-out."""

from __future__ import annotations

import dataclasses
import stat
from datetime import UTC, datetime
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
    for name in ("", "ü", "x" * 65):
        unnamed = blindsight(tmp_path, "policy", "add-release", current, "--from", new, f"--name={name}")
        assert (unnamed.returncode, "--name cannot be" in unnamed.stderr) == (1, True)
    renamed = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "1.0.0")
    assert (renamed.returncode, "another release called 1.0.0" in renamed.stderr) == (1, True)
    assert current.read_bytes() == before


def test_a_rebuild_of_the_same_name_gets_another(files: tuple[Path, Path], tmp_path: Path) -> None:
    current, new = files
    rebuilt = dataclasses.replace(NEW, name=OLD.name)
    new.write_text(Policy(releases=(rebuilt,)).to_json())
    done = blindsight(tmp_path, "policy", "add-release", current, "--from", new)
    assert (done.returncode, "another name with --name" in done.stderr) == (1, True)
    done = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "1.0.0 rebuilt")
    assert done.returncode == 0, done.stderr
    assert [release.name for release in Policy.load(current).releases] == ["1.0.0", "1.0.0 rebuilt"]
    again = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "a third name")
    assert "accepts this release already" in again.stderr
    both = Policy(
        releases=tuple(dataclasses.replace(NEW, pcrs={**NEW.pcrs, 0: frozenset({digit * 96})}) for digit in "12")
    )
    new.write_text(both.to_json())
    named = blindsight(tmp_path, "policy", "add-release", current, "--from", new, "--name", "two")
    assert (named.returncode, "--name names one" in named.stderr) == (1, True)
    assert len(Policy.load(current).releases) == 2


PAST, SOON, LATER = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2060, 2070))


@pytest.mark.parametrize(
    ("of_policy", "of_release", "kept"),
    [(SOON, None, SOON), (None, SOON, SOON), (SOON, LATER, SOON), (LATER, SOON, SOON), (None, None, None)],
)
def test_a_release_ends_as_its_publisher_said(
    files: tuple[Path, Path], tmp_path: Path, of_policy: datetime | None, of_release: datetime | None,
    kept: datetime | None,
) -> None:  # fmt: skip
    current, new = files
    new.write_text(Policy(releases=(dataclasses.replace(NEW, expires=of_release),), expires=of_policy).to_json())
    done = blindsight(tmp_path, "policy", "add-release", current, "--from", new)
    assert done.returncode == 0, done.stderr
    assert Policy.load(current).releases[1].expires == kept


OLDER = dataclasses.replace(NEW, version="1.4")


@pytest.mark.parametrize(
    ("new_policy", "minimum", "words"),
    [
        (Policy(releases=(NEW,), expires=PAST), None, "has expired"),
        (Policy(releases=(dataclasses.replace(NEW, expires=PAST),)), None, "does not accept its own release"),
        (Policy(releases=(OLDER,), minimum_version="2"), None, "does not accept its own release"),
        (Policy(releases=(NEW,), minimum_version="2"), None, "does not accept its own release"),
        (Policy(releases=(OLDER,)), "1.5", "would not accept the new release"),
    ],
)
def test_what_would_not_be_accepted_is_not_added(
    files: tuple[Path, Path], tmp_path: Path, new_policy: Policy, minimum: str | None, words: str
) -> None:
    current, new = files
    old = dataclasses.replace(OLD, version="1.9")
    current.write_text(Policy(releases=(old,), minimum_version=minimum).to_json())
    new.write_text(new_policy.to_json())
    before = current.read_bytes()
    done = blindsight(tmp_path, "policy", "add-release", current, "--from", new)
    assert (done.returncode, words in done.stderr, done.stderr.count("\n")) == (1, True, 2), done.stderr
    assert current.read_bytes() == before


def test_what_is_listed_says_what_is_not_accepted(files: tuple[Path, Path], tmp_path: Path) -> None:
    ended = dataclasses.replace(NEW, name="ended", version="3", expires=PAST)
    low = dataclasses.replace(OLD, version="0.9")
    good = dataclasses.replace(NEW, name="good", version="3", expires=LATER)
    files[0].write_text(Policy(releases=(low, ended, good), minimum_version="1.0.0", expires=PAST).to_json())
    shown = blindsight(tmp_path, "policy", "show", files[0]).stdout.splitlines()
    assert ["NOT ACCEPTED" in line for line in shown] == [True, True, False, False, False]
    assert shown[3:] == ["minimum version 1.0.0", "expires 2020-01-01T00:00:00Z (it has expired)"]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_files_mode_stays(files: tuple[Path, Path], tmp_path: Path, mode: int) -> None:
    current, new = files
    current.chmod(mode)
    assert blindsight(tmp_path, "policy", "add-release", current, "--from", new).returncode == 0
    assert stat.S_IMODE(current.stat().st_mode) == mode


def test_a_link_is_not_replaced(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(files[0])
    done = blindsight(tmp_path, "policy", "add-release", "link.json", "--from", files[1])
    assert done.returncode == 1
    assert f"name the file that it leads to, {files[0]}" in " ".join(done.stderr.split())


def test_nothing_is_recalled_that_stays_accepted(tmp_path: Path) -> None:
    same = dataclasses.replace(OLD, name="1.0.1", model_digests=frozenset({"ee" * 32}))
    (tmp_path / "policy.json").write_text(Policy(releases=(OLD, same)).to_json())
    done = blindsight(tmp_path, "policy", "remove-release", "policy.json", "--release", "1.0.0", "--recall")
    assert (done.returncode, "without --recall" in done.stderr) == (1, True)

"""`blindsight release verify` and `release sign`; `release make` is passed on."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from blindsight.attestation.policy import Policy
from blindsight_cli.main import app
from tests.support import releases
from tests.support.command import blindsight

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a release: its file and its artifacts."""
    (tmp_path / "release.json").write_bytes(releases.release(tmp_path).encode())
    return tmp_path


def release(folder: Path, *arguments: str) -> Result:
    """What the command answers, run in `folder`."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, ["release", *arguments])


ARTIFACTS = ("--wheel", "blindsight.whl", "--bundle", "function.zip", "--sbom", "sbom.cdx.json", "--page", "index.html")


def test_what_was_given_is_checked_and_the_rest_is_named(folder: Path) -> None:
    done = release(folder, "verify", "release.json", "--wheel", "blindsight.whl", "--policy-out", "p.json")
    assert done.exit_code == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:2] == ["Release", "1.2.3"]
    assert ["checked", "blindsight.whl", "sha256"] in [line[:3] for line in lines]
    assert [line[-1] for line in lines if line[:2] == ["not", "checked"]] == ["sbom.cdx.json", "function.zip"]
    assert Policy.load(folder / "p.json") == releases.release(folder).policy
    assert "No signature was checked" in done.stderr
    assert "proves nothing about hardware" in done.stderr


def test_everything_checked_as_json(folder: Path) -> None:
    done = release(folder, "verify", "release.json", "--json", *ARTIFACTS)
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["checked"].keys() == {"blindsight.whl", "function.zip", "sbom.cdx.json", "page index.html"}
    assert (report["not_checked"], report["signed"]) == ([], False)


def test_a_file_of_the_page_that_is_an_artifact_is_not_called_unchecked(folder: Path) -> None:
    """As `blindsight.html` is: a subject of the release, and a file of its page."""
    statement = releases.members(folder)
    page = releases.subject(folder / "index.html")
    statement["subject"].append({"name": page.name, "digest": {"sha256": page.sha256, "sha384": page.sha384}})
    (folder / "release.json").write_bytes(releases.encoded(statement))
    for option in ("--page", "--artifact"):
        done = release(folder, "verify", "release.json", option, "index.html")
        assert done.exit_code == 0, done.stderr
        assert "not checked  index.html" not in done.stdout, option
        report = json.loads(release(folder, "verify", "release.json", option, "index.html", "--json").stdout)
        assert "index.html" not in report["not_checked"]
    assert "not checked  index.html" in release(folder, "verify", "release.json").stdout


def test_a_refusal_ends_in_one_full_stop(folder: Path) -> None:
    statement = releases.members(folder)
    statement["predicate"]["policy"]["releases"][0]["kind"] = "unheard"
    (folder / "release.json").write_bytes(releases.encoded(statement))
    done = release(folder, "verify", "release.json")
    assert "is not a policy" in done.stderr
    assert ".. [" not in done.stderr
    assert ". [invalid_release]" in done.stderr


@pytest.mark.parametrize("option", ["--wheel", "--bundle", "--sbom", "--page", "--artifact"])
def test_another_artifact_is_refused(folder: Path, option: str) -> None:
    name = {**dict(zip(ARTIFACTS[::2], ARTIFACTS[1::2], strict=True)), "--artifact": "blindsight.whl"}[option]
    (folder / name).write_bytes(b"another")
    done = release(folder, "verify", "release.json", option, name, "--policy-out", "p.json")
    assert done.exit_code == 1
    first, second = done.stderr.strip().splitlines()
    assert first.startswith("error:")
    assert "[digest_mismatch]" in first
    assert second.startswith("next:")
    assert not (folder / "p.json").exists(), "a policy was written beside a refusal"


def test_signed_with_openssl_s_key(folder: Path) -> None:
    for name in ("ours", "other"):
        command = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", f"{name}.pem"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        command = ["openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    signed = release(folder, "sign", "release.json", "--key", "ours.pem", "--out", "release.dsse.json")
    assert signed.exit_code == 0, signed.stderr
    done = release(folder, "verify", "release.dsse.json", "--key", "ours.pub", *ARTIFACTS)
    assert done.exit_code == 0, done.stderr
    assert "No signature" not in done.stderr
    for file, key, code in (
        ("release.dsse.json", "other.pub", "signature_invalid"),
        ("release.json", "ours.pub", "signature_missing"),
        ("release.json", "ours.pem", "unusable_key"),
    ):
        done = release(folder, "verify", file, "--key", key, "--policy-out", "p.json")
        assert done.exit_code == 1
        assert f"[{code}]" in done.stderr
        assert not (folder / "p.json").exists()


def test_what_cannot_be_done_is_said_in_two_lines(folder: Path) -> None:
    (folder / "other.json").write_text("{}")
    for arguments in (
        ["verify", "nothing.json"],
        ["verify", "other.json"],
        ["verify", "release.json", "--wheel", "nothing.whl"],
        ["verify", "release.json", "--policy-out", "nothing/p.json"],
        ["sign", "release.json", "--key", "release.json", "--out", "x"],
        ["sign", "other.json", "--key", "release.json", "--out", "x"],
    ):
        done = release(folder, *arguments)
        assert done.exit_code == 1, arguments
        first, second = done.stderr.strip().splitlines()
        assert first.startswith("error:"), arguments
        assert second.startswith("next:"), arguments


def test_members_of_a_later_release_are_named(folder: Path) -> None:
    statement = releases.members(folder)
    statement["predicate"]["later\x1b[2J"] = 1
    (folder / "release.json").write_bytes(releases.encoded(statement))
    done = release(folder, "verify", "release.json")
    assert done.exit_code == 0, done.stderr
    assert "does not know" in done.stderr
    assert "\x1b" not in done.stderr


def test_make_is_passed_on(folder: Path) -> None:
    done = blindsight(folder, "release", "make", "--help")
    assert done.returncode == 0
    assert "usage: blindsight release make" in done.stdout

"""docs/verify-it-yourself.md: each of its commands is run, in order, by a stranger with a release of this tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import blindsight
from tests.support import images
from tests.support.documented import commands, commands_of
from tests.support.stack import root_fingerprint

if TYPE_CHECKING:
    from tests.support.stack import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "verify-it-yourself.md").read_text(encoding="utf-8")
ENDPOINT = "https://photos.example"


@pytest.fixture
def stranger(tiny_stack: Stack, tmp_path: Path) -> Path:
    """A folder with what the page says that a stranger needs, and a photo."""
    folder = tmp_path / "stranger"
    run("-m", "release_build", "make", "--out", folder, "--bundle", renamed(tiny_stack.bundle, tmp_path),
        "--simulated-root", root_fingerprint(tiny_stack.state))  # fmt: skip
    openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "release.pem")
    openssl("pkey", "-in", tmp_path / "release.pem", "-pubout", "-out", folder / "release.pub")
    openssl("pkeyutl", "-sign", "-inkey", tmp_path / "release.pem", "-rawin", "-in", folder / "release.json",
            "-out", folder / "release.json.sig")  # fmt: skip
    (folder / "dog.jpeg").write_bytes(images.plain(9))
    return folder


def renamed(bundle: Path, folder: Path) -> Path:
    copy = folder / "function.zip"
    copy.write_bytes(bundle.read_bytes())
    return copy


def run(*arguments: object) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], cwd=REPOSITORY, check=True, capture_output=True)


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def settings(folder: Path) -> dict[str, str]:
    """Nothing of this process's, and pip without network: what the wheel depends on comes from this environment."""
    python = folder.parent / "bin"
    python.mkdir()
    (python / "python3").symlink_to(sys.executable)
    path = f"{python}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "COLUMNS": "250"}


def lend_dependencies(environment: Path) -> None:
    (packages,) = environment.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours), encoding="utf-8")


def test_a_stranger_verifies_the_endpoint(stranger: Path, tiny_stack: Stack) -> None:
    environment = settings(stranger)
    for command in commands_of("docs/verify-it-yourself.md"):
        typed = command.typed.replace(ENDPOINT, tiny_stack.gateway.url)
        done = subprocess.run(["bash", "-c", typed], cwd=stranger, env=environment, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode == 0, f"{typed}\n{done.stderr}"
        assert command.missing(done.stdout) == [], f"{typed}\n{done.stdout}"
        if typed.startswith("python3 -m venv"):
            lend_dependencies(stranger / "verify")
    assert (stranger / "kept" / "dog.jpeg.receipt.json").exists()


def test_it_takes_less_than_ten_commands() -> None:
    typed = [command.typed for command in commands(PAGE)]
    assert 5 <= len(typed) < 10
    for wanted in ("openssl", "release verify", "attest", "classify --sealed", "receipt verify"):
        assert any(wanted in each for each in typed), wanted


def test_the_page_is_of_this_release() -> None:
    named = re.findall(r"blindsight_classify-([0-9.]+)-py3", PAGE) + re.findall(
        r"^Release (?:blindsight )?([0-9.]+)", PAGE, re.MULTILINE
    )
    assert set(named) == {blindsight.__version__}
    assert len(named) >= 5


def test_the_test_sees_what_it_looks_for() -> None:
    block = "```console\n$ one \\\n    two\nshown … line\n…\nlast\n$ three\n```\n"
    first, second = commands(block)
    assert (first.typed, second.typed) == ("one     two", "three")
    assert first.missing("shown any line\nbetween\nlast\n") == []
    assert first.missing("last\nshown any line\n") == ["last"]
    assert first.missing("shown line\n") == ["shown … line", "last"]

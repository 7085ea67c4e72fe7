"""The root secret: made once, private, and known by what is derived from it only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight.errors import ProducerError
from enclave_runtime.cape.rootsecret import FILE, RootSecret

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_made_once_and_read_again(tmp_path: Path):
    folder = tmp_path / "deep" / "state"
    made = RootSecret.load_or_create(folder)
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert RootSecret.load_or_create(folder).derive("a") == made.derive("a")
    assert RootSecret.load_or_create(tmp_path / "other").derive("a") != made.derive("a")


def test_purposes_have_keys_that_have_nothing_in_common():
    root = RootSecret(b"\x01" * 32)
    keys = {root.derive(purpose) for purpose in ("a", "b", "ab", "")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    # The holder of old records must be able to open them: this must not change.
    assert root.derive("account record").hex() == "a339907972d6bac4d07e61167be28a02df8a0129ccd8ee9a39376622c0667518"


def test_it_does_not_show_itself():
    assert repr(RootSecret(b"secret-secret-secret-secret-secr")) == "RootSecret(…)"


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_one_is_refused_not_replaced(tmp_path: Path, content: bytes):
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(ProducerError, match="damaged") as caught:
        RootSecret.load_or_create(tmp_path)
    assert caught.value.code == "root_secret_unusable"
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610])
def test_one_that_others_can_reach_is_refused(tmp_path: Path, mode: int):
    RootSecret.load_or_create(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(ProducerError, match="0600") as caught:
        RootSecret.load_or_create(tmp_path)
    assert caught.value.code == "root_secret_unusable"


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ProducerError) as caught:
        RootSecret.load_or_create(tmp_path / "file")
    assert caught.value.code == "root_secret_unusable"
    (tmp_path / FILE).mkdir(mode=0o700)
    with pytest.raises(ProducerError) as caught:
        RootSecret.load_or_create(tmp_path)
    assert caught.value.code == "root_secret_unusable"

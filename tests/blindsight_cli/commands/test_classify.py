"""`blindsight classify` of what is not a photo, and at what is no gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight_cli import localca
from tests.support.command import blindsight
from tests.support.images import plain
from tests.support.wire import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_device_without_an_end_is_no_photo(tiny_stack: Stack, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "/dev/zero")
    assert done.returncode == 1
    assert "The file is not a photo. It is not a regular file." in done.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", ""])
def test_what_is_no_address_is_said(tmp_path: Path, url: str) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "check --url" in done.stderr


def test_a_certificate_that_is_not_trusted_is_said(tiny_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    tls = localca.ensure(tmp_path / "tls", ["localhost", "127.0.0.1"])
    port = free_port()
    with tiny_stack.another_gateway(tls_port=port, tls_certificate=tls.certificate, tls_key=tls.key):
        done = blindsight(tmp_path, "classify", "--url", f"https://localhost:{port}", "photo.png")
    assert done.returncode == 1
    assert "authority that is not trusted here" in done.stderr
    assert "SSL_CERT_FILE" in done.stderr

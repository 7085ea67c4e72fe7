"""A plain request to a TLS port, and TLS to a plain port: each command names the other scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight_cli import localca
from tests.support.command import blindsight
from tests.support.gateway_commands import COMMANDS, words
from tests.support.images import plain
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def tls_port(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    tls = localca.ensure(tmp_path_factory.mktemp("tls"), ["localhost"])
    with tiny_stack.another_gateway(tls_port=port, tls_certificate=tls.certificate, tls_key=tls.key):
        yield port


def said(folder: Path, stack: Stack, command: str, url: str) -> str:
    (folder / "photo.png").write_bytes(plain(1))
    done = blindsight(folder, *words(command, url, stack))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout if command == "doctor" else done.stderr).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plain_request_to_a_tls_port(tiny_stack: Stack, tmp_path: Path, tls_port: int, command: str) -> None:
    assert "A port for https://" in said(tmp_path, tiny_stack, command, f"http://localhost:{tls_port}")


@pytest.mark.parametrize("command", COMMANDS)
def test_tls_to_a_plain_port(tiny_stack: Stack, tmp_path: Path, command: str) -> None:
    url = tiny_stack.gateway.url.replace("http://", "https://")
    assert "does not take TLS" in said(tmp_path, tiny_stack, command, url)

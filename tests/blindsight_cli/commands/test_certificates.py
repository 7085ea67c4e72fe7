"""A gateway whose certificate is not trusted here: each command says so, and how to name the authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight_cli import localca
from tests.support import preloaded
from tests.support.command import blindsight
from tests.support.gateway_commands import COMMANDS, words
from tests.support.images import plain
from tests.support.processes import environment
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> localca.ServerFiles:
    return localca.ensure(tmp_path_factory.mktemp("tls"), ["localhost"])


@pytest.fixture(scope="module")
def url(tiny_stack: Stack, tls: localca.ServerFiles) -> Iterator[str]:
    """As `blindsight up` serves it, under an authority of this machine."""
    port = free_port()
    with tiny_stack.another_gateway(tls_port=port, tls_certificate=tls.certificate, tls_key=tls.key):
        yield f"https://localhost:{port}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(plain(1))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_the_certificate_is_named_and_the_authoritys_file_asked_for(
    tiny_stack: Stack, folder: Path, url: str, command: str
) -> None:
    done = blindsight(folder, *words(command, url, tiny_stack))
    said = done.stdout if command == "doctor" else done.stderr
    assert done.returncode == 1, said
    assert "certificate" in said
    assert "unable to get local issuer certificate" in said
    assert "SSL_CERT_FILE" in said
    assert ".blindsight/tls/ca.pem" in said
    assert "does not answer" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_with_the_authoritys_file_it_works(
    tiny_stack: Stack, folder: Path, url: str, tls: localca.ServerFiles, command: str
) -> None:
    if command == "demo":
        words_of_it = [*words(command, url, tiny_stack), "--trick", "flipped-answer"]
    else:
        words_of_it = words(command, url, tiny_stack)
    variables = {**environment(folder), "COLUMNS": "250", "SSL_CERT_FILE": str(tls.ca)}
    done = preloaded.run_text("blindsight_cli.main", words_of_it, cwd=folder, env=variables)
    assert "certificate is not trusted" not in done.stdout + done.stderr
    assert done.returncode == 0 or command == "doctor", done.stdout + done.stderr

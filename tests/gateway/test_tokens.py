"""API tokens: made once, stored hashed, asked for where images go in."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest

from gateway import tokens
from gateway.tokens import BadTokenFile, TokenStore
from tests.support import images
from tests.support.problems import CANARY, check
from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_token_is_found_by_its_hash_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    alice, bob = tokens.create("alice", file), tokens.create("bob", file)
    assert alice != bob
    assert alice.startswith("bs_")
    assert len(alice) == 3 + 43  # 32 bytes in base64url
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "".join(
        f"{name}:{hashlib.sha256(token.encode()).hexdigest()}\n" for name, token in (("alice", alice), ("bob", bob))
    )
    store = TokenStore.load(file)
    assert (store.name_of(alice), store.name_of(bob)) == ("alice", "bob")
    for other in ("", alice[:-1], alice + "A", alice.upper(), hashlib.sha256(alice.encode()).hexdigest()):
        assert store.name_of(other) is None


def test_comments_and_blank_lines(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    token = tokens.create("alice", file)
    file.write_text(f"# Tokens\n\n{file.read_text().strip()}  # until June\n")
    assert TokenStore.load(file).name_of(token) == "alice"


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"alice\n", b"alice:abc\n", b"al ice:" + b"0" * 64, b"alice:" + b"G" * 64, b"\xff"]
)
def test_unusable_files(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(content)
    with pytest.raises(BadTokenFile, match=r"tokens"):
        TokenStore.load(file)


def test_a_name_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    """The second line would silently replace the first one's token."""
    file = tmp_path / "tokens"
    file.write_text(f"alice:{'0' * 64}\nalice:{'1' * 64}\n")
    with pytest.raises(BadTokenFile, match="line 2"):
        TokenStore.load(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadTokenFile, match="cannot read"):
        TokenStore.load(tmp_path / "none")


@pytest.mark.parametrize("name", ["", "a" * 65, "al:ice", "al\nice", "al ice", "#alice", "älice"])
def test_unusable_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadTokenFile):
        tokens.create(name, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()


def test_a_name_is_given_once(tmp_path: Path) -> None:
    tokens.create("alice", tmp_path / "tokens")
    with pytest.raises(BadTokenFile, match="already"):
        tokens.create("alice", tmp_path / "tokens")


def test_service_with_tokens(tiny_stack: Stack, tmp_path: Path) -> None:
    """From the command that makes a token to the request that it opens."""
    file = tmp_path / "tokens"
    command = [sys.executable, "-m", "gateway", "token", "alice", "--file", str(file)]
    made = subprocess.run(command, capture_output=True, check=True, text=True, cwd=tmp_path, env=environment(tmp_path))
    token = made.stdout.strip()
    again = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path), check=False
    )
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    photo = images.plain(55)
    # With tokens, it may listen beyond loopback.
    with tiny_stack.another_gateway(tokens_file=file, host="0.0.0.0") as gateway:
        for value in (
            None,
            "",
            "Bearer",
            f"Bearer {CANARY}",
            f"Basic {token}",
            token,
            f"Bearer {token}x",
            "Bearer \u00e4",
        ):
            headers = httpx2.Headers({} if value is None else {"authorization": value.encode()})
            for path, field in (("/classify", "file"), ("/classify/batch", "files")):
                response = gateway.client.post(path, files={field: photo}, headers=headers)
                check(response, "unauthenticated")
                assert response.headers["www-authenticate"] == "Bearer"
        for scheme in ("Bearer", "bearer"):
            response = gateway.client.post(
                "/classify", files={"file": photo}, headers={"authorization": f"{scheme} {token}"}
            )
            assert response.json()["predictions"][0]["class_id"] == 55
        # Evidence, probes and pages are for everyone.
        for path in ("/readyz", "/attestation", "/info", "/docs", "/openapi.json"):
            assert gateway.client.get(path).status_code == 200
        schema = gateway.client.get("/openapi.json").json()
        assert schema["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
        assert schema["paths"]["/classify"]["post"]["security"] == [{"token": []}]
        assert gateway.metric('requests_rejected_total{reason="unauthenticated"}') == 16
        assert token not in gateway.log()
        assert CANARY not in gateway.log()

"""API tokens: made once, stored hashed, asked for where images go in."""

from __future__ import annotations

import asyncio
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
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes import Gateway
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


async def test_a_mistake_does_not_end_the_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is revoked later would stay valid."""
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.01)
    file = tmp_path / "tokens"
    alice = tokens.create("alice", file)
    tokens.create("bob", file)
    store = TokenStore.load(file)
    asked: list[object] = []
    with monkeypatch.context() as broken:
        broken.setattr(tokens, "_hashes_in", lambda _: asked.append(1) or 1 // 0)
        task = asyncio.create_task(store.watch())
        await asyncio.to_thread(wait_until, "the mistake", lambda: len(asked) > 1 or task.done())
    try:
        await asyncio.to_thread(tokens.revoke, "alice", file)
        await asyncio.to_thread(wait_until, "the revocation", lambda: store.name_of(alice) is None)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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


def statuses(gateway: Gateway, *each: str) -> list[int]:
    """Of a request with each of these tokens."""
    photo = {"file": images.plain(55)}
    return [
        gateway.client.post("/classify", files=photo, headers={"authorization": f"Bearer {token}"}).status_code
        for token in each
    ]


def test_a_running_gateway_follows_its_file(tiny_stack: Stack, tmp_path: Path) -> None:
    """A token is added, one is revoked, and all are; a file that cannot be read changes nothing."""
    file = tmp_path / "tokens"
    alice = tokens.create("alice", file)
    with tiny_stack.another_gateway(tokens_file=file) as gateway:
        bob = tokens.create("bob", file)
        wait_until("bob is admitted", lambda: statuses(gateway, alice, bob) == [200, 200])
        whole = file.read_bytes()
        file.write_bytes(whole + b"carol:nothing\n")
        wait_until("the fault is logged", lambda: "line 3: expected NAME:SHA256HEX" in gateway.log())
        assert statuses(gateway, alice, bob) == [200, 200]
        file.unlink()
        wait_until("its absence is logged", lambda: "cannot read the token file" in gateway.log())
        assert statuses(gateway, alice, bob) == [200, 200]
        file.write_bytes(whole)
        command = [sys.executable, "-m", "gateway", "revoke", "alice", "--file", str(file)]
        done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, env=environment(tmp_path))
        assert done.stdout == b""
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        wait_until("alice is refused", lambda: statuses(gateway, alice, bob) == [401, 200])
        tokens.revoke("bob", file)
        wait_until("all are refused", lambda: statuses(gateway, alice, bob) == [401, 401])
        log = gateway.log()
    assert '"event": "API tokens changed", "revoked": 1, "added": 0' in log
    assert not any(secret in log for secret in (alice, bob, tokens.hash_of(bob)))


def test_what_is_revoked_is_its_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    alice, bob = tokens.create("alice", file), tokens.create("bob", file)
    before, after = file.read_text().splitlines()
    file.write_text(f"# Tokens\n\n{before}  # until June\n{after} # of bob, not alice\n")
    tokens.revoke("alice", file)
    assert file.read_text() == f"# Tokens\n\n{after} # of bob, not alice\n"
    store = TokenStore.load(file)
    assert (store.name_of(alice), store.name_of(bob)) == (None, "bob")
    for name in ("alice", "al", "", "# Tokens"):
        with pytest.raises(BadTokenFile, match="no token called"):
            tokens.revoke(name, file)
    with pytest.raises(BadTokenFile, match="cannot read"):
        tokens.revoke("alice", tmp_path / "none")

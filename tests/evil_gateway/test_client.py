"""The Python client before the evil gateway: every trick is refused for its own reason."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from blindsight import Client
from evil_gateway import demo
from evil_gateway.tricks import TRICKS
from tests.support.images import plain
from tests.support.models import label_of
from tests.support.processes import environment
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from pathlib import Path

    from evil_gateway.app import EvilGateway
    from evil_gateway.stage import Trick
    from tests.support.stack import Stack

CLASS = 427
STEPS = {
    "document_too_large": 1, "malformed_cbor": 1, "trailing_bytes": 1, "wrong_algorithm": 1, "unprotected_header": 1,
    "missing_field": 2, "duplicate_key": 2, "root_not_pinned": 3, "malformed_certificate": 3, "invalid_chain": 4,
    "chain_order": 4, "certificate_expired": 4, "invalid_signature": 5, "debug_document": 6, "pcr_mismatch": 7,
    "pcr_missing": 7, "malformed_claims": 8, "claims_missing": 9, "nonce_mismatch": 10, "nonce_missing": 10,
    "evidence_too_old": 10, "evidence_from_future": 10, "key_configs_mismatch": 11, "model_mismatch": 11,
}  # fmt: skip
"""At which step of the verification a refusal of evidence comes."""

ON_CLIENT = [trick for trick in TRICKS.values() if trick.code is not None]


def test_a_caller_who_asks_for_http_2_is_passed_on_whole(evil: EvilGateway, evil_url: str) -> None:
    evil.play(None)
    photo = plain(CLASS)
    fields = f"host: x\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: {len(photo)}\r\n"
    last = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with Connection(int(evil_url.rpartition(":")[2])) as connection:
        connection.send(f"POST /classify HTTP/1.1\r\ncontent-type: image/png\r\n{fields}\r\n".encode() + photo + last)
        first, second = connection.answers(["POST", "GET"])
    assert first.json()["predictions"][0]["class_id"] == CLASS
    assert second.json() == {"status": "alive"}


@pytest.mark.parametrize("trick", ON_CLIENT, ids=lambda trick: trick.name)
def test_the_trick_is_refused(tiny_stack: Stack, evil: EvilGateway, evil_url: str, trick: Trick) -> None:
    evil.play(trick)
    outcome = demo.meet(trick, evil_url, tiny_stack.policy, plain(CLASS))
    assert (outcome.code, outcome.step) == (trick.code, STEPS.get(str(trick.code)))
    if trick.sealed is None:
        assert evil.sealed_requests == 0


def test_without_a_trick_it_is_a_gateway_like_any_other(tiny_stack: Stack, evil: EvilGateway, evil_url: str) -> None:
    """So what is refused above is refused for the trick."""
    evil.play(None)
    with Client(evil_url, policy=tiny_stack.policy) as client:
        for _ in range(2):
            answer = client.classify(plain(CLASS), with_receipt=True)
            assert answer.predictions[0].label == label_of(CLASS)


def test_there_are_enough_and_they_differ() -> None:
    assert len(ON_CLIENT) >= 20
    assert len({trick.code for trick in ON_CLIENT}) >= 20
    assert len([trick for trick in TRICKS.values() if trick.code_on_page is not None]) >= 20
    assert len({trick.code for trick in ON_CLIENT if not trick.needs_root}) >= 20


def command(tiny_stack: Stack, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "blindsight_cli.main", "demo", "evil-gateway"]
    return subprocess.run(
        [*program, "--url", tiny_stack.gateway.url, "--policy", str(tiny_stack.policy_file), *arguments],
        cwd=folder,
        env={**environment(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_demonstration(tiny_stack: Stack, tmp_path: Path) -> None:
    done = command(tiny_stack, tmp_path, "--state", str(tiny_stack.state))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ON_CLIENT)} of {len(ON_CLIENT)} tricks were refused, each for its reason." in done.stdout
    assert "refuses at step 10: nonce_mismatch" in done.stdout
    assert "BELIEVES" not in done.stdout


def test_the_demonstration_notices_what_is_believed(tiny_stack: Stack, tmp_path: Path) -> None:
    """A policy that accepts the debug enclave's registers... cannot be made; one without PCR 2 accepts other code."""
    policy = tmp_path / "weak.json"
    policy.write_text(tiny_stack.policy.to_json().replace(tiny_stack.measured.pcrs[2], "66" * 48))
    done = command(
        tiny_stack, tmp_path, "--state", str(tiny_stack.state), "--trick", "other-code", "--policy", str(policy)
    )
    assert done.returncode == 1
    assert "BELIEVES IT" in done.stdout


def test_what_it_says_when_it_cannot_play(tiny_stack: Stack, tmp_path: Path) -> None:
    assert "swapped-keys" in command(tiny_stack, tmp_path, "--list").stdout
    done = command(tiny_stack, tmp_path, "--trick", "debug-enclave")
    assert (done.returncode, "debug-enclave needs --state" in done.stderr) == (1, True)
    done = command(tiny_stack, tmp_path, "--trick", "changed-policy")
    assert (done.returncode, "changed-policy needs a browser" in done.stderr) == (1, True)
    for arguments in (["--serve"], ["--url", "http://127.0.0.1:9"], ["--policy", str(tmp_path / "none")]):
        done = command(tiny_stack, tmp_path, *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr

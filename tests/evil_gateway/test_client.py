"""The Python client before the evil gateway: every trick is refused for its own reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blindsight import Client
from enclave_runtime.evidence.simulated_pki import load_or_create_root
from evil_gateway import demo
from evil_gateway.tricks import TRICKS
from tests.support import preloaded
from tests.support.images import plain
from tests.support.models import label_of
from tests.support.processes import environment
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    import subprocess
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
    policy = [] if "--serve" in arguments else ["--policy", str(tiny_stack.policy_file)]
    words = ["demo", "evil-gateway", "--url", tiny_stack.gateway.url, *policy, *arguments]
    variables = {**environment(folder), "COLUMNS": "200"}
    return preloaded.run_text("blindsight_cli.main", words, cwd=folder, env=variables, timeout=120)


def test_the_demonstration(tiny_stack: Stack, tmp_path: Path) -> None:
    done = command(tiny_stack, tmp_path, "--state", str(tiny_stack.state))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ON_CLIENT)} of {len(ON_CLIENT)} tricks were refused, each for its reason." in done.stdout
    assert "refuses at step 10: nonce_mismatch" in done.stdout
    assert "BELIEVES" not in done.stdout


def test_the_demonstration_notices_what_is_believed(tiny_stack: Stack, tmp_path: Path) -> None:
    """A policy that accepts the debug enclave's registers cannot be made; one with another PCR 2 accepts other code."""
    policy, members = tmp_path / "weak.json", json.loads(tiny_stack.policy.to_json())
    members["releases"][0]["pcrs"]["2"].append("66" * 48)
    policy.write_text(json.dumps(members))
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
        assert explained(done)


def explained(done: subprocess.CompletedProcess[str]) -> str:
    """What was wrong, from one line and the next step; no trick was shown as refused."""
    assert [line[:7] for line in done.stderr.splitlines()] == ["error: ", "next:  "], done.stderr
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[0]


def test_a_policy_that_does_not_fit_the_honest_gateway_shows_nothing(tiny_stack: Stack, tmp_path: Path) -> None:
    """It would refuse every trick, and for the wrong reason."""
    policy, members = tmp_path / "other.json", json.loads(tiny_stack.policy.to_json())
    members["releases"][0]["pcrs"]["2"] = ["66" * 48]
    policy.write_text(json.dumps(members))
    done = command(tiny_stack, tmp_path, "--policy", str(policy))
    assert "the honest gateway itself is refused (at step 7: pcr_mismatch)" in explained(done)
    assert "--policy" in done.stderr


@pytest.mark.parametrize("options", [[], ["--trick", "debug-enclave"], ["--serve", "--trick", "debug-enclave"]])
def test_another_stacks_root_shows_nothing(tiny_stack: Stack, tmp_path: Path, options: list[str]) -> None:
    other = tmp_path / "other"
    load_or_create_root(other, datetime.now(UTC))
    done = command(tiny_stack, tmp_path, *options, "--state", str(other))
    assert f"the simulated root in {other} is not that of the enclave behind" in explained(done)


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_state_without_a_root_gets_none(tiny_stack: Stack, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    done = command(tiny_stack, tmp_path, "--state", name)
    assert f"{name} has no simulated root" in explained(done)
    assert not list((tmp_path / "empty").iterdir())


def test_the_folder_of_the_whole_stack_will_do(tiny_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "enclave").symlink_to(tiny_stack.state)
    done = command(tiny_stack, tmp_path, "--trick", "debug-enclave", "--state", "stack")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 tricks were refused" in done.stdout


def test_another_stack_where_the_root_is_looked_for_by_default_is_none(tiny_stack: Stack, tmp_path: Path) -> None:
    load_or_create_root(tmp_path / ".blindsight" / "enclave", datetime.now(UTC))
    done = command(tiny_stack, tmp_path, "--trick", "debug-enclave")
    assert "debug-enclave needs --state" in explained(done)


@pytest.mark.parametrize("content", [b"no photo", b""])
def test_what_is_no_photo_shows_nothing(tiny_stack: Stack, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    done = command(tiny_stack, tmp_path, "--photo", "notes.txt")
    assert "the honest gateway answers no question" in explained(done)
    assert "--photo" in done.stderr


def test_a_photo_that_is_not_there(tiny_stack: Stack, tmp_path: Path) -> None:
    assert "none.jpeg cannot be read" in explained(command(tiny_stack, tmp_path, "--photo", "none.jpeg"))

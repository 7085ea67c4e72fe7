"""`blindsight classify --sealed` as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway import tokens
from tests.blindsight_cli.commands.conftest import CLASS
from tests.support import preloaded
from tests.support.models import label_of
from tests.support.processes import environment
from tests.support.wire import Recorder, free_port

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.stack import Stack


def classify(
    folder: Path, *arguments: object, settings: dict[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {**environment(folder, settings), "COLUMNS": "200"}
    return preloaded.run_text("blindsight_cli.main", ["classify", *arguments], cwd=folder, env=variables)


def test_a_table_and_what_was_verified(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    arguments = ("--sealed", "--policy", tiny_stack.policy_file, "--url", tiny_stack.gateway.url, "--top-k", 2)
    done = classify(tmp_path, *arguments, photo)
    assert done.returncode == 0, done.stderr
    assert label_of(CLASS) in done.stdout
    lines = done.stderr.splitlines()
    assert lines[0] == f"sealed to a verified simulated enclave, PCR 0 {tiny_stack.measured.pcrs[0][:16]}…"
    assert "SIMULATED" in lines[-1]


def test_the_answers_are_the_plain_lanes(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    """The same members with the same values, but for what differs from one request to the next."""
    nothing = tmp_path / "nothing.png"
    nothing.write_bytes(b"not an image")
    common = ("--json", "--url", tiny_stack.gateway.url, photo, nothing, tmp_path / "absent.png")
    plain_lane = classify(tmp_path, *common)
    sealed_lane = classify(tmp_path, "--sealed", "--policy", tiny_stack.policy_file, *common)
    assert plain_lane.returncode == sealed_lane.returncode == 1
    assert "2 of 3 photos were not answered" in sealed_lane.stderr
    answers = []
    for done in (plain_lane, sealed_lane):
        first, second, third = map(json.loads, done.stdout.splitlines())
        first.pop("request_id", None)
        assert first.pop("timings_ms").keys() >= {"decode", "preprocess", "run"}
        second["problem"].pop("instance", None)
        answers.append((first, second, third))
    assert answers[0] == answers[1]
    assert answers[0][0]["predictions"][0]["class_id"] == CLASS
    assert answers[0][1]["problem"]["code"] == "not_an_image"


def test_the_policy_of_the_folder_is_the_default(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    done = classify(tmp_path, "--sealed", "--url", tiny_stack.gateway.url, photo)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --sealed needs a policy, and there is no .blindsight/policy.json\nnext:  ")
    (tmp_path / ".blindsight").mkdir()
    (tmp_path / ".blindsight" / "policy.json").write_text(tiny_stack.policy_file.read_text())
    assert classify(tmp_path, "--sealed", "--url", tiny_stack.gateway.url, photo).returncode == 0


def test_another_enclave_is_refused_and_sent_nothing(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    policy = json.loads(tiny_stack.policy_file.read_text())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    other = tmp_path / "policy.json"
    other.write_text(json.dumps(policy))
    with Recorder(tiny_stack.gateway.port) as recorder:
        done = classify(tmp_path, "--sealed", "--policy", other, "--url", f"http://127.0.0.1:{recorder.port}", photo)
        recording = b"".join(recorder.streams())
    assert done.returncode == 1
    assert "error: refused at step 7: " in done.stderr
    assert "[pcr_mismatch]" in done.stderr
    assert "next:  " in done.stderr
    assert done.stdout == ""
    assert b"GET /attestation" in recording
    assert b"POST" not in recording


def test_the_api_token_of_the_environment(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    token = tokens.create("alice", file)
    with tiny_stack.another_gateway(tokens_file=file) as gateway:
        arguments = ("--sealed", "--url", gateway.url, photo)
        policy = {"policy": tiny_stack.policy_file}
        without = classify(tmp_path, *arguments, settings=policy)
        done = classify(tmp_path, *arguments, settings={**policy, "token": token})
    assert without.returncode == 1
    assert "An API token is needed" in without.stderr
    assert done.returncode == 0, done.stderr


def test_nothing_listening_is_said_with_the_next_step(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = classify(tmp_path, "--sealed", "--policy", tiny_stack.policy_file, "--url", url, photo)
    assert done.returncode == 1
    assert "[unreachable]" in done.stderr
    assert "next:  " in done.stderr
    assert "Traceback" not in done.stderr

"""A gateway takes a new policy without a restart: it judges all enclaves at once, and ignores an invalid file."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blindsight import files
from blindsight.attestation import Policy
from blindsight.problems import Problem
from tests.support.images import plain
from tests.support.inprocess import running_app
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Stack


def other(policy: Policy) -> Policy:
    """Of another release, which the enclave is not."""
    (release,) = policy.releases
    return Policy(releases=(dataclasses.replace(release, name="other", pcrs={0: frozenset({"ab" * 48})}),))


def both(policy: Policy) -> Policy:
    return Policy(releases=(*other(policy).releases, *policy.releases))


def write(file: Path, policy: Policy) -> None:
    files.write(file, policy.to_json().encode())


def readiness(gateway: Gateway) -> str:
    content = gateway.client.get("/readyz").json()
    return str(content.get("evidence_code") or content.get("status"))


def in_force(gateway: Gateway) -> Policy:
    return Policy.from_json(gateway.client.get("/policy").text)


@pytest.fixture
def rolled(tiny_stack: Stack, tmp_path: Path) -> Iterator[tuple[Gateway, Path]]:
    """A gateway of its own, and its policy file."""
    file = tmp_path / "policy.json"
    write(file, tiny_stack.policy)
    with tiny_stack.another_gateway(policy=file) as gateway:
        yield gateway, file


def test_old_then_both_then_new(tiny_stack: Stack, rolled: tuple[Gateway, Path]) -> None:
    """The enclave is of the new release, then of the old one: it is used exactly while the policy accepts it."""
    gateway, file = rolled
    old = tiny_stack.policy
    photo = {"file": ("photo.png", plain(1))}
    for policy, wanted in [(both(old), "ready"), (other(old), "pcr_mismatch"), (both(old), "ready"), (old, "ready")]:
        write(file, policy)
        wait_until("the policy is in force", lambda policy=policy: in_force(gateway) == policy)
        if wanted == "ready":
            gateway.wait_ready()
        assert readiness(gateway) == wanted
        assert gateway.client.post("/classify", files=photo).status_code == (200 if wanted == "ready" else 503)
    changed = [each for each in gateway.events() if each["event"] == "policy changed"]
    assert [each["added"] for each in changed] == [1, 0, 1, 0]
    assert [each["removed"] for each in changed] == [0, 1, 0, 1]


def test_an_invalid_file_keeps_the_old_policy(tiny_stack: Stack, rolled: tuple[Gateway, Path]) -> None:
    gateway, file = rolled
    expired = dataclasses.replace(other(tiny_stack.policy), expires=datetime(2026, 1, 1, tzinfo=UTC))
    (release,) = other(tiny_stack.policy).releases
    open_one = json.loads(Policy(releases=(dataclasses.replace(release, any_function=False),)).to_json())
    del open_one["releases"][0]["function_checksums"]
    # Each for another reason: one that was logged is not logged again.
    wrong = ["{", expired.to_json(), json.dumps(open_one), '{"schema": "blindsight-policy/9"}', None]
    for number, content in enumerate(wrong, 1):
        if content is None:
            file.unlink()
        else:
            file.write_text(content)

        def refused(number: int = number) -> bool:
            return len([each for each in gateway.events() if each["event"] == "policy file not read again"]) == number

        wait_until(f"the reason of {content!r} is logged", refused)
        assert readiness(gateway) == "ready"
        assert in_force(gateway) == tiny_stack.policy
    reasons = [each["reason"] for each in gateway.events() if each["event"] == "policy file not read again"]
    assert "expired" in reasons[1]
    # The file is followed on.
    write(file, other(tiny_stack.policy))
    wait_until("the next policy is in force", lambda: readiness(gateway) == "pcr_mismatch")


def test_the_metrics_tell_the_first_end_of_the_policy_and_the_running_release(
    tiny_stack: Stack, rolled: tuple[Gateway, Path]
) -> None:
    gateway, file = rolled
    gateway.wait_ready()
    assert gateway.metric("policy_expiration_timestamp_seconds") == math.inf
    early, late = datetime(2060, 1, 1, tzinfo=UTC), datetime(2070, 1, 1, tzinfo=UTC)
    (running,) = tiny_stack.policy.releases
    (absent,) = other(tiny_stack.policy).releases
    for releases, end, expected in [
        ((running, dataclasses.replace(absent, expires=early)), late, late),
        ((dataclasses.replace(running, expires=early), absent), late, early),
        ((running, absent), early, early),
        ((running, absent), None, None),
    ]:
        write(file, Policy(releases=releases, expires=end))
        wanted = math.inf if expected is None else expected.timestamp()

        def told(wanted: float = wanted) -> bool:
            return gateway.metric("policy_expiration_timestamp_seconds") == wanted

        wait_until(f"the metric of {releases} and {end}", told)


def test_from_the_change_on_no_request_reaches_what_is_refused(tiny_stack: Stack, tmp_path: Path) -> None:
    """Without waiting for the enclave, which a host could delay: the evidence that is known is judged anew."""
    write(tmp_path / "policy.json", tiny_stack.policy)
    with running_app(tiny_stack, policy=tmp_path / "policy.json") as app:
        fleet = app.services.fleet
        wait_until("ready", lambda: app.client.get("/readyz").status_code == 200)
        (member,) = fleet.members
        known = member.enclave.current
        asked = threading.Event()
        real = member.connections.exchange

        async def exchange(*arguments: object) -> object:
            asked.set()
            return await real(*arguments)

        member.connections.exchange = exchange
        fleet.use(both(tiny_stack.policy))
        assert member.enclave.current.document == known.document
        assert member.enclave.current.report.release is None
        asked.clear()
        fleet.use(other(tiny_stack.policy))
        with pytest.raises(Problem) as caught:
            _ = member.enclave.current
        assert caught.value.extra["evidence_code"] == "pcr_mismatch"
        fleet.use(tiny_stack.policy)
        wait_until("ready again", lambda: app.client.get("/readyz").status_code == 200)


def test_many_changes_under_load_answer_only_what_is_accepted(tiny_stack: Stack, rolled: tuple[Gateway, Path]) -> None:
    """Callers get an answer or a refusal, and never an error of another kind."""
    gateway, file = rolled
    statuses: set[int] = set()
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            statuses.add(gateway.client.post("/classify", files={"file": ("photo.png", plain(1))}).status_code)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(6):
        policy = (other, both)[number % 2](tiny_stack.policy)
        write(file, policy)
        wait_until("the policy is in force", lambda policy=policy: in_force(gateway) == policy)
        if number % 2:
            gateway.wait_ready()
    ended.set()
    for thread in threads:
        thread.join()
    assert statuses <= {200, 503}
    assert 200 in statuses

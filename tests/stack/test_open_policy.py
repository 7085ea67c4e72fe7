"""A policy that leaves the function open is refused, unless it says so by name; and then every answer says so.

The host is hostile here: its enclave runs a bundle of the host's own, and its gateway accepts that bundle. Boot and
runtime are genuine, so PCR 0, 1 and 2 are those of the honest enclave.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from blindsight import __version__
from tests.support import preloaded
from tests.support.images import plain
from tests.support.processes import environment
from tests.support.stack import measure, root_fingerprint
from tests.support.wire import free_port, loopback
from tests.support.zips import with_changed_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Measured, Stack

CLASS = 271
OPEN = "POLICY LEAVES OPEN: the function"


@dataclass(frozen=True)
class Host:
    """A gateway before an enclave that runs a swapped bundle, and what both are measured as."""

    gateway: Gateway
    root: str
    honest: Measured
    swapped: Measured


@pytest.fixture(scope="module")
def host(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("swapped")
    bundle = with_changed_code(tiny_stack.bundle, folder / "swapped.zip")
    policy = folder / "policy.json"
    command = [sys.executable, "-m", "enclave_runtime", "policy", "--bundle", str(bundle)]
    command += ["--state", str(tiny_stack.state), "--out", str(policy)]
    subprocess.run(command, check=True, cwd=folder, env=environment(folder))
    enclave = tiny_stack.start_enclave(bundle, port=free_port(), workers=1)
    try:
        enclave.wait_warm()
        with tiny_stack.another_gateway(policy=policy, enclave=loopback(enclave.port)) as gateway:
            root = root_fingerprint(tiny_stack.state)
            yield Host(gateway, root, tiny_stack.measured, measure(bundle, folder))
    finally:
        enclave.stop()


def first_format(host: Host, **members: Any) -> dict[str, Any]:
    """A policy of blindsight-policy/1 with PCR 0 alone."""
    return {
        "schema": "blindsight-policy/1",
        "roots": [{"kind": "simulated", "sha256": host.root}],
        "pcrs": {"0": [host.honest.pcrs[0]]},
        **members,
    }


def second_format(host: Host, **members: Any) -> dict[str, Any]:
    release = {"kind": "simulated", "roots": [host.root], "pcrs": {"0": [host.honest.pcrs[0]]}, **members}
    return {"schema": "blindsight-policy/2", "releases": [release]}


def blindsight(folder: Path, policy: dict[str, Any], *arguments: object) -> subprocess.CompletedProcess[str]:
    file = folder / "policy.json"
    file.write_text(json.dumps(policy))
    variables = {**environment(folder), "COLUMNS": "200"}
    return preloaded.run_text("blindsight_cli.main", [*arguments, "--policy", file], cwd=folder, env=variables)


def classify(host: Host, folder: Path, policy: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    photo = folder / "photo.png"
    photo.write_bytes(plain(CLASS))
    return blindsight(folder, policy, "classify", "--json", "--sealed", "--url", host.gateway.url, photo)


def test_the_swapped_bundle_is_told_apart_by_nothing_but_the_function(host: Host) -> None:
    """So a policy that pins the code alone cannot refuse it."""
    for index in (0, 1, 2):
        assert host.swapped.pcrs[index] == host.honest.pcrs[index]
    assert host.swapped.model_digest == host.honest.model_digest
    assert host.swapped.function_checksum != host.honest.function_checksum


@pytest.mark.parametrize("more", [{}, {"function_checksums": None}, {"model_digests": "the honest one's"}], ids=repr)
@pytest.mark.parametrize("format_of", [first_format, second_format], ids=["first", "second"])
def test_a_policy_that_pins_the_code_alone_is_refused(host: Host, tmp_path: Path, format_of: Any, more: Any) -> None:
    members = {name: value and [host.honest.model_digest] for name, value in more.items()}
    if format_of is second_format:
        members = {name: value for name, value in members.items() if value}
    attested = blindsight(tmp_path, format_of(host, **members), "attest", "verify", host.gateway.url)
    classified = classify(host, tmp_path, format_of(host, **members))
    for done in (attested, classified):
        assert done.returncode == 1, f"the swapped function was accepted without a word: {done.stdout}{done.stderr}"
        assert "[function_not_pinned]" in done.stderr
        assert "next:  " in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_a_function_left_open_by_name_is_accepted_and_said_everywhere(host: Host, tmp_path: Path) -> None:
    policy = second_format(host, any_function=True)
    attested = blindsight(tmp_path, policy, "attest", "verify", host.gateway.url)
    assert attested.returncode == 0, attested.stderr
    assert OPEN in attested.stdout
    assert OPEN in attested.stderr
    as_json = blindsight(tmp_path, policy, "attest", "verify", "--json", host.gateway.url)
    assert json.loads(as_json.stdout)["left_open"] == ["function"]
    classified = classify(host, tmp_path, policy)
    assert classified.returncode == 0, classified.stderr
    answer = json.loads(classified.stdout)
    assert answer["enclave"]["function_checksum"] == host.swapped.function_checksum
    assert OPEN in answer["notice"]
    assert OPEN in classified.stderr.splitlines()[1], "it is said before the first photo is sent"


def test_the_runtimes_own_policy_leaves_nothing_open(tiny_stack: Stack, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "enclave_runtime", "policy", "--bundle", str(tiny_stack.bundle)]
    done = subprocess.run(
        [*command, "--state", str(tiny_stack.state)], check=True, capture_output=True, cwd=tmp_path,
        env=environment(tmp_path),
    )  # fmt: skip
    policy = json.loads(done.stdout)
    (release,) = policy["releases"]
    assert policy["schema"] == "blindsight-policy/2"
    assert (release["kind"], release["version"]) == ("simulated", __version__)
    assert release["roots"] == [root_fingerprint(tiny_stack.state)]
    assert release["pcrs"] == {str(index): [value] for index, value in tiny_stack.measured.pcrs.items()}
    assert release["function_checksums"] == [tiny_stack.measured.function_checksum]
    assert release["model_digests"] == [tiny_stack.measured.model_digest]
    assert not release.keys() & {"any_code", "any_function", "function_in_image"}
    attested = blindsight(tmp_path, policy, "attest", "verify", tiny_stack.gateway.url)
    assert attested.returncode == 0, attested.stderr
    assert f"Release blindsight {__version__}" in attested.stdout
    assert "LEAVES OPEN" not in attested.stdout + attested.stderr


def test_the_honest_function_pinned_refuses_the_swapped_one(host: Host, tmp_path: Path) -> None:
    for policy in (
        first_format(host, function_checksums=[host.honest.function_checksum]),
        second_format(host, function_checksums=[host.honest.function_checksum]),
    ):
        done = classify(host, tmp_path, policy)
        assert done.returncode == 1
        assert "[function_not_accepted]" in done.stderr


def test_a_gateway_states_what_its_policy_leaves_open(tiny_stack: Stack, host: Host, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(second_format(host, any_function=True)))
    with tiny_stack.another_gateway(policy=policy) as gateway:
        answer = gateway.client.post("/classify", files={"file": plain(CLASS)}).json()
        assert OPEN in answer["notice"]
        assert OPEN in " ".join(gateway.client.get("/info").json()["notices"])
        assert gateway.client.get("/policy").json()["releases"][0]["any_function"] is True
        assert gateway.client.get("/attestation").json()["reading"]["left_open"] == ["function"]


def test_a_gateway_does_not_start_on_a_policy_that_leaves_the_function_open_silently(
    host: Host, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(first_format(host)))
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], cwd=tmp_path, env=environment(tmp_path, {"policy": policy, "port": 0}),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "function" in done.stderr
    assert len(done.stderr.splitlines()) == 1

"""A policy that does not pin code and function accepts what a host puts in; it has to say so by name, or is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from blindsight.attestation import Policy, UnsafeAcceptAnything, Verified, expected_pcr16, verify, verify_archived
from blindsight.attestation.recipient import verify_recipient
from blindsight.errors import PolicyError
from blindsight.sealing import keyconfig
from enclave_runtime.keys import LaneKeys
from tests.blindsight.attestation.attestation_forge import CLAIMS, MANIFEST, NONCE, NOW, PCRS, Forge

SWAPPED = replace(CLAIMS, func_checksum=hashlib.sha256(b"the host's own bundle").digest())


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


@pytest.fixture(scope="module")
def swapped(forge: Forge) -> bytes:
    """Genuine code, and a bundle of the host's."""
    pcr16 = expected_pcr16(SWAPPED.func_checksum, SWAPPED.model_sha256)
    return forge.document(user_data=SWAPPED.to_json(), pcrs=PCRS | {16: pcr16})


def first_format(forge: Forge, **members: Any) -> str:
    roots = [{"kind": "simulated", "sha256": forge.fingerprint}]
    return json.dumps({"schema": "blindsight-policy/1", "roots": roots, **members})


def second_format(forge: Forge, **members: Any) -> str:
    release = {"kind": "simulated", "roots": [forge.fingerprint], **members}
    return json.dumps({"schema": "blindsight-policy/2", "releases": [release]})


def believed(text: str, document: bytes) -> Verified:
    return verify(document, policy=Policy.from_json(text), nonce=NONCE, now=NOW)


def pinned(*indexes: int) -> dict[str, list[str]]:
    return {str(index): [PCRS[index].hex()] for index in indexes}


@pytest.mark.parametrize(
    "members",
    [
        {"pcrs": pinned(0)},
        {"pcrs": pinned(0, 1, 2)},
        {"pcrs": pinned(1, 2)},
        {"pcrs": pinned(0), "model_digests": [CLAIMS.model_sha256.hex()]},
    ],
)
@pytest.mark.parametrize("format_of", [first_format, second_format])
def test_the_function_is_not_left_open_silently(forge: Forge, swapped: bytes, format_of: Any, members: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        believed(format_of(forge, **members), swapped)
    assert caught.value.code == "function_not_pinned"
    assert "function_checksums" in caught.value.next_step


@pytest.mark.parametrize(
    "members",
    [
        {"pcrs": pinned(16)},
        {"pcrs": {"3": ["ab" * 48]}, "function_checksums": [CLAIMS.func_checksum.hex()]},
        {"pcrs": pinned(1, 16), "function_checksums": [CLAIMS.func_checksum.hex()]},
        {"pcrs": pinned(2, 16), "model_digests": [CLAIMS.model_sha256.hex()]},
    ],
)
@pytest.mark.parametrize("format_of", [first_format, second_format])
def test_the_code_is_not_left_open_silently(forge: Forge, format_of: Any, members: Any) -> None:
    """Code of the host's: it shows the measurements that are listed, and claims to run the honest bundle."""
    listed = {int(index): bytes.fromhex(value) for index, (value,) in members["pcrs"].items()}
    other_code = forge.document(pcrs=dict.fromkeys(range(3), b"f" * 48) | {16: PCRS[16]} | listed)
    with pytest.raises(PolicyError) as caught:
        believed(format_of(forge, **members), other_code)
    assert caught.value.code == "code_not_pinned"
    assert "PCR 0" in caught.value.next_step


OPEN = {"code": "POLICY LEAVES OPEN: the code.", "function": "POLICY LEAVES OPEN: the function."}


@pytest.mark.parametrize(
    ("members", "left_open"),
    [
        ({"pcrs": pinned(0), "any_function": True}, ["function"]),
        ({"pcrs": pinned(16), "any_code": True}, ["code"]),
        ({"any_code": True, "any_function": True}, ["code", "function"]),
        ({"pcrs": pinned(0, 16)}, []),
        ({"pcrs": pinned(0), "function_in_image": True}, []),
    ],
)
def test_what_is_left_open_is_in_the_report(forge: Forge, members: Any, left_open: list[str]) -> None:
    report = believed(second_format(forge, name="1.4 (test)", **members), forge.document()).report
    assert (report.release, list(report.left_open)) == ("1.4 (test)", left_open)
    assert report.to_dict()["left_open"] == left_open
    assert report.to_dict()["release"] == "1.4 (test)"
    lines = report.render().splitlines()
    assert lines[1] == "Release 1.4 (test)"
    assert [part for part, line in OPEN.items() if any(each.startswith(line) for each in lines)] == left_open
    assert len(lines) == 12 + len(left_open)


def test_accepting_anything_says_that_everything_is_left_open(forge: Forge) -> None:
    for report in (
        verify(forge.document(), policy=UnsafeAcceptAnything(), nonce=NONCE, now=NOW).report,
        verify_archived(forge.document(), policy=UnsafeAcceptAnything()).report,
    ):
        assert report.left_open == ("code", "function")
        assert all(line in report.render() for line in OPEN.values())


@pytest.mark.parametrize(
    "members", [{"pcrs": pinned(0), "any_function": True}, {"any_code": True, "any_function": True}]
)
def test_what_is_left_open_is_a_notice_of_the_enclave(forge: Forge, members: Any) -> None:
    configs = LaneKeys().encoded_configs
    claims = replace(CLAIMS, key_configs_sha256=keyconfig.digest(configs))
    recipient = verify_recipient(
        forge.document(user_data=claims.to_json()), configs, MANIFEST,
        policy=Policy.from_json(second_format(forge, **members)), nonce=NONCE, now=NOW,
    )  # fmt: skip
    left_open = [OPEN[part] for part in recipient.report.left_open]
    assert left_open
    assert all(any(notice.startswith(line) for notice in recipient.notices) for line in left_open)


def test_steps_name_the_pcrs_of_the_release_that_was_found(forge: Forge) -> None:
    """Not those of a release that had the same code and another function."""
    first = {
        "kind": "simulated",
        "roots": [forge.fingerprint],
        "pcrs": pinned(0, 1, 2),
        "function_checksums": ["ab" * 32],
    }
    second = {"kind": "simulated", "roots": [forge.fingerprint], "pcrs": pinned(0), "any_function": True}
    text = json.dumps({"schema": "blindsight-policy/2", "releases": [first, second]})
    steps = believed(text, forge.document()).report.steps
    assert (steps[6].checked, steps[8].result) == ("PCR 0", "not asked")

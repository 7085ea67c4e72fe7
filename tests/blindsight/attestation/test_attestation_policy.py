from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.attestation import AWS_NITRO_ROOT_G1, Policy
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

POLICY = Policy(
    roots={AWS_NITRO_ROOT_G1: "nitro", "11" * 32: "simulated"},
    pcrs={0: frozenset(["aa" * 48, "bb" * 48]), 16: frozenset(["cc" * 48])},
    function_checksums=frozenset(["dd" * 32]),
    max_age=120,
)


def members(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (json.loads(POLICY.to_json()) | changes).items() if value is not ...}


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(POLICY.to_json(), encoding="utf-8")
    assert Policy.load(path) == POLICY


def test_expected_measurements_alone_mean_genuine_enclaves() -> None:
    policy = Policy.expecting({0: "AA" * 48, 2: "bb" * 48})
    assert policy == Policy(
        roots={AWS_NITRO_ROOT_G1: "nitro"}, pcrs={0: frozenset(["aa" * 48]), 2: frozenset(["bb" * 48])}
    )
    for none in ({}, {0: ""}, {0: "00" * 48}):
        with pytest.raises(PolicyError):
            Policy.expecting(none)


def test_absent_limits_and_lists_take_their_defaults() -> None:
    names = ("function_checksums", "model_digests", "max_age_seconds", "max_future_skew_seconds")
    policy = Policy.from_json(json.dumps(members(**dict.fromkeys(names, ...))))
    assert (policy.function_checksums, policy.model_digests) == (None, None)
    assert (policy.max_age, policy.max_future_skew) == (300, 60)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schema": "blindsight-policy/2"}, "invalid_policy"),
        ({"schema": ...}, "invalid_policy"),
        ({"pcr": {}}, "unknown_policy_key"),
        ({"roots": [{"sha256": "11" * 32, "kind": "nitro", "note": ""}]}, "unknown_policy_key"),
        ({"roots": ...}, "invalid_policy"),
        ({"roots": []}, "no_roots"),
        ({"roots": ["11" * 32]}, "invalid_policy"),
        ({"roots": [{"sha256": "11" * 32, "kind": "mock"}]}, "invalid_policy"),
        ({"roots": [{"sha256": "11" * 32, "kind": ["nitro"]}]}, "invalid_policy"),
        ({"roots": [{"sha256": ["11"], "kind": "nitro"}]}, "invalid_policy"),
        ({"roots": [{"sha256": AWS_NITRO_ROOT_G1, "kind": "simulated"}]}, "invalid_policy"),
        ({"roots": [{"sha256": "11" * 31, "kind": "nitro"}]}, "invalid_policy"),
        ({"pcrs": ...}, "invalid_policy"),
        ({"pcrs": {}}, "no_measurements"),
        ({"pcrs": {"0": []}}, "empty_allow_list"),
        ({"pcrs": {"0": "aa" * 48}}, "invalid_policy"),
        ({"pcrs": {"00": ["aa" * 48]}}, "invalid_policy"),
        ({"pcrs": {"32": ["aa" * 48]}}, "invalid_policy"),
        ({"pcrs": {"0": ["00" * 48]}}, "zero_measurement"),
        ({"pcrs": {"0": [None]}}, "invalid_policy"),
        ({"function_checksums": []}, "empty_allow_list"),
        ({"function_checksums": "dd" * 32}, "invalid_policy"),
        ({"model_digests": ["dd"]}, "invalid_policy"),
        ({"roots": [{"sha256": "11" * 32, "kind": kind} for kind in ("nitro", "simulated")]}, "invalid_policy"),
        ({"max_age_seconds": 10**30}, "invalid_policy"),
        ({"max_age_seconds": -1}, "invalid_policy"),
        ({"max_age_seconds": 1e99}, "invalid_policy"),
        ({"max_age_seconds": None}, "invalid_policy"),
        ({"max_future_skew_seconds": True}, "invalid_policy"),
    ],
)
def test_refused_file(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_json(json.dumps(members(**changes)))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "unreadable_policy"),
        ("[" * 100_000, "unreadable_policy"),
        ("[]", "invalid_policy"),
        (POLICY.to_json().replace('"model_digests": null', '"pcrs": {}'), "invalid_policy"),
    ],
)
def test_refused_text(text: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_json(text)
    assert caught.value.code == code


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("absent", "binary"):
        with pytest.raises(PolicyError) as caught:
            Policy.load(tmp_path / name)
        assert caught.value.code == "unreadable_policy"


def test_policy_cannot_be_widened_afterwards() -> None:
    pcrs = {0: frozenset(["aa" * 48])}
    policy = Policy(roots={"11" * 32: "simulated"}, pcrs=pcrs)
    pcrs.clear()
    assert policy.pcrs == {0: {"aa" * 48}}
    with pytest.raises(TypeError):
        policy.pcrs[0] = frozenset(["bb" * 48])  # type: ignore[index]  # the point of the test

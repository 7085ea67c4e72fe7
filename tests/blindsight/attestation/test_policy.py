"""Policies made in Python. What their files may say is in tests/vectors/policy.json."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.attestation import AWS_NITRO_ROOT_G1, Policy, Release
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

PINNED: dict[str, Any] = {"kind": "nitro", "pcrs": {0: frozenset(["aa" * 48])}, "function_in_image": True}
END = datetime(2027, 1, 1, tzinfo=UTC)
POLICY = Policy(
    releases=(
        Release(
            kind="nitro",
            name="1.4",
            version="1.4.0",
            pcrs={0: frozenset(["aa" * 48, "bb" * 48]), 16: frozenset(["cc" * 48])},
            function_checksums=frozenset(["dd" * 32]),
            model_digests=frozenset(["ee" * 32]),
            expires=END,
        ),
        Release(kind="simulated", roots=frozenset(["11" * 32]), any_code=True, any_function=True),
        Release(
            kind="nitro", roots=frozenset(["22" * 32]), **{name: PINNED[name] for name in ("pcrs", "function_in_image")}
        ),
    ),
    refuse=frozenset(["ab" * 48, "ab" * 32]),
    minimum_version="1.3",
    expires=END + timedelta(days=1),
    max_age=120,
    max_future_skew=0,
)


def code_of(make: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        make()
    assert caught.value.next_step
    return caught.value.code


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(POLICY.to_json(), encoding="utf-8")
    assert Policy.load(path) == POLICY
    assert Policy.load(path).to_json() == POLICY.to_json()


def test_a_file_says_all_that_a_policy_does() -> None:
    """A field that is added to either class and not written would be lost without a word."""
    for changes in (
        {"refuse": frozenset(["cd" * 48])}, {"minimum_version": None}, {"expires": None}, {"max_age": 1},
        {"max_future_skew": 1}, {"releases": POLICY.releases[:1]},
    ):  # fmt: skip
        assert Policy.from_json(dataclasses.replace(POLICY, **changes).to_json()) != POLICY
    changed = {
        "kind": "simulated", "roots": frozenset(["33" * 32]), "pcrs": {0: frozenset(["ab" * 48])}, "name": None,
        "function_checksums": frozenset(["ab" * 32]), "model_digests": None, "function_in_image": True,
        "any_code": True, "any_function": True, "version": None, "expires": None,
    }  # fmt: skip
    assert changed.keys() == {field.name for field in dataclasses.fields(Release)}
    needed = {
        "kind": {"roots": frozenset(["33" * 32])}, "any_code": {"pcrs": {16: frozenset(["cc" * 48])}},
        "any_function": {"pcrs": {0: frozenset(["aa" * 48])}, "function_checksums": None},
    }  # fmt: skip
    for name, value in changed.items():
        release = dataclasses.replace(POLICY.releases[0], **{name: value, **needed.get(name, {})})
        assert Policy.from_json(Policy(releases=(release,)).to_json()).releases == (release,), name


def test_expected_measurements_mean_genuine_enclaves() -> None:
    policy = Policy.expecting({0: "AA" * 48, 2: "bb" * 48}, function_checksums=["DD" * 32], model_digests=["ee" * 32])
    assert policy == Policy(
        releases=(
            Release(
                kind="nitro",
                roots=frozenset([AWS_NITRO_ROOT_G1]),
                pcrs={0: frozenset(["aa" * 48]), 2: frozenset(["bb" * 48])},
                function_checksums=frozenset(["dd" * 32]),
                model_digests=frozenset(["ee" * 32]),
            ),
        )
    )
    assert policy.left_open == ()


def test_expected_measurements_of_the_code_alone_are_refused() -> None:
    assert code_of(lambda: Policy.expecting({0: "aa" * 48})) == "function_not_pinned"
    assert code_of(lambda: Policy.expecting({0: "aa" * 48}, model_digests=["ee" * 32])) == "function_not_pinned"
    assert code_of(lambda: Policy.expecting({16: "aa" * 48})) == "code_not_pinned"
    assert code_of(lambda: Policy.expecting({0: "aa" * 48}, function_checksums=[])) == "empty_allow_list"
    for none in ({}, {0: ""}, {0: "00" * 48}):
        code_of(lambda none=none: Policy.expecting(none, any_function=True))


def test_what_is_left_open_is_said_by_release_and_policy() -> None:
    assert Policy.expecting({0: "aa" * 48}, any_function=True).left_open == ("function",)
    assert Policy.expecting({0: "aa" * 48}, function_in_image=True).left_open == ()
    assert [release.left_open for release in POLICY.releases] == [(), ("code", "function"), ()]
    assert POLICY.left_open == ("code", "function")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "tdx"}, "invalid_policy"),
        ({"kind": ["nitro"]}, "invalid_policy"),
        ({"kind": "simulated"}, "no_roots"),
        ({"roots": frozenset()}, "no_roots"),
        ({"roots": frozenset([AWS_NITRO_ROOT_G1]), "kind": "simulated"}, "invalid_policy"),
        ({"roots": frozenset([7])}, "invalid_policy"),
        ({"pcrs": {}}, "no_measurements"),
        ({"pcrs": None}, "no_measurements"),
        ({"pcrs": {"0": frozenset(["aa" * 48])}}, "invalid_policy"),
        ({"pcrs": {False: frozenset(["aa" * 48])}}, "invalid_policy"),
        ({"pcrs": {-1: frozenset(["aa" * 48])}}, "invalid_policy"),
        ({"pcrs": {0: "aa" * 48}}, "invalid_policy"),
        ({"function_checksums": "dd" * 32}, "invalid_policy"),
        ({"function_in_image": False}, "function_not_pinned"),
        ({"any_function": True}, "invalid_policy"),
        ({"any_code": True}, "invalid_policy"),
        ({"name": "two\nlines"}, "invalid_policy"),
        ({"version": "1.4\n"}, "invalid_policy"),
        ({"expires": "2027-01-01T00:00:00Z"}, "invalid_policy"),
        ({"expires": END.replace(tzinfo=None)}, "invalid_policy"),
        ({"expires": END.replace(microsecond=1)}, "invalid_policy"),
    ],
)
def test_refused_release(changes: dict[str, Any], code: str) -> None:
    assert code_of(lambda: Release(**PINNED | changes)) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"releases": ()}, "invalid_policy"),
        ({"refuse": frozenset(["00" * 48])}, "zero_measurement"),
        ({"refuse": frozenset(["ab" * 20])}, "invalid_policy"),
        ({"refuse": "ab" * 48}, "invalid_policy"),
        ({"minimum_version": "latest"}, "invalid_policy"),
        ({"expires": END.date()}, "invalid_policy"),
        ({"max_age": 86_401}, "invalid_policy"),
        ({"max_future_skew": True}, "invalid_policy"),
    ],
)
def test_refused_policy(changes: dict[str, Any], code: str) -> None:
    assert code_of(lambda: dataclasses.replace(POLICY, **changes)) == code


def test_an_end_in_another_zone_is_the_same_moment() -> None:
    release = Release(**PINNED, expires=END.astimezone(timezone(timedelta(hours=-9))))
    assert release == Release(**PINNED, expires=END)
    assert '"expires": "2027-01-01T00:00:00Z"' in Policy(releases=(release,)).to_json()


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("absent", "binary"):
        assert code_of(lambda name=name: Policy.load(tmp_path / name)) == "unreadable_policy"
    assert code_of(lambda: Policy.from_json("[" * 100_000)) == "unreadable_policy"


def test_the_release_that_is_wrong_is_named() -> None:
    text = POLICY.to_json().replace('"kind": "simulated"', '"kind": "tdx"')
    with pytest.raises(PolicyError, match="Release 2 of the policy: "):
        Policy.from_json(text)


def test_policy_cannot_be_widened_afterwards() -> None:
    pcrs, releases = {0: frozenset(["aa" * 48])}, []
    releases.append(Release(**PINNED | {"pcrs": pcrs}))
    policy = Policy(releases=releases)
    pcrs.clear()
    releases.append(POLICY.releases[1])
    assert policy.releases == (Release(**PINNED),)
    with pytest.raises(TypeError):
        policy.releases[0].pcrs[0] = frozenset(["bb" * 48])
    for name in ("any_function", "pcrs"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(policy.releases[0], name, True)

"""docs/policy.md: its policy can be read, its Python runs; values that the page shortens are filled in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from blindsight import Policy, PolicyError
from tests.support.documented import blocks

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text("utf-8")
PCR, CHECKSUM = "ab" * 48, "cd" * 32


def shown(language: str) -> str:
    (text,) = [block.text for block in blocks(PAGE) if block.language == language]
    return text


def test_each_line_of_its_python_makes_a_policy() -> None:
    first, *lines = [line for line in shown("python").splitlines() if line]
    assert len(lines) == 2
    for line in lines:
        text = re.sub(r'(?<=\[)"…"', f'"{CHECKSUM}"', line).replace('"…"', f'"{PCR}"')
        names: dict[str, object] = {}
        exec(first, names)
        policy = eval(text, names)
        assert isinstance(policy, Policy)
        assert Policy.from_json(policy.to_json()) == policy


def test_its_policy_is_read() -> None:
    text = re.sub(r'(?<="pcrs": \{"0": \[)"[0-9a-f]+…"', f'"{PCR}"', shown("json"))
    policy = Policy.from_json(re.sub(r'"[0-9a-f]+…"', f'"{CHECKSUM}"', text))
    assert [release.name for release in policy.releases] == ["1.4.0"]


def test_its_tables_have_every_member() -> None:
    """Of a policy and of a release; one that is not in the tables is refused."""
    members = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE))))
    document = json.loads(Policy.expecting({0: PCR}, function_checksums=[CHECKSUM]).to_json())
    assert set(document) - {"schema"} <= members
    assert set(document["releases"][0]) <= members
    document["releases"][0]["unknown"] = 1
    with pytest.raises(PolicyError):
        Policy.from_json(json.dumps(document))

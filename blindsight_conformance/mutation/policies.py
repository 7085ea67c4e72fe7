"""Runs a case of tests/vectors/policy.json without a document."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from blindsight.attestation import Claims, Policy, matching
from blindsight.attestation.steps import numbered
from blindsight.errors import EvidenceError, PolicyError

_SKIPPED = {"simulated_root", "wrong_algorithm"}
"""Codes of refusals that depend on a whole document."""


def judge_policy(case: dict[str, Any]) -> None:
    """Judge the document's contents in `case` by its policy. Raises `AssertionError` for another verdict."""
    if case["expect"].get("refused") in _SKIPPED:
        return
    shown = case["document"]
    try:
        policy, at = Policy.from_json(case["policy"]), datetime.fromisoformat(case["at"])
        matching.check_policy(policy, at=at)
        with numbered(3):
            root = shown["root"]
            releases = policy.releases_of(None) if root is None else matching.by_root(policy, root)
        pcrs = {int(index): bytes.fromhex(value) for index, value in shown["pcrs"].items()}
        with numbered(7):
            releases = matching.by_measurements(releases, pcrs, policy=policy, at=at)
        claims = None
        if shown["function_checksum"] is not None:
            function, model = (bytes.fromhex(shown[name]) for name in ("function_checksum", "model_digest"))
            claims = Claims(function, bytes(32), model, bytes(32))
        with numbered(9):
            release = matching.by_identity(releases, claims, policy=policy)
        text = policy.to_json()
        if Policy.from_json(text) != policy or json.loads(text)["schema"] != "blindsight-policy/2":
            raise AssertionError(case["name"])
        found: dict[str, Any] = {"accepted": True, "release": release.name, "kind": release.kind}
        found["left_open"] = list(release.left_open)
    except EvidenceError as error:
        found = {"refused": error.code, "step": error.step}
    except PolicyError as error:
        found = {"refused": error.code}
    if found != case["expect"]:
        raise AssertionError(case["name"])

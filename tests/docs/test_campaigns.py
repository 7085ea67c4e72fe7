"""The page on operations tells of the campaigns what the committed results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from campaigns import report

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / report.PAGE).read_text("utf-8")


@pytest.mark.parametrize("scenario", ["faults", "rollout"])
def test_the_figures_are_those_of_the_committed_results(scenario: str) -> None:
    """`python -m campaigns SCENARIO --write-docs` writes both."""
    file = ROOT / report.committed(scenario)
    if not file.exists():
        assert report.replaced(PAGE, scenario, "No run of ten minutes is recorded yet.") == PAGE
        return
    results = json.loads(file.read_text("utf-8"))
    assert report.replaced(PAGE, scenario, report.summary(results)) == PAGE
    assert results["passed"]
    assert results["seconds"] >= 600
    assert results["crowding"] == 1
    assert len(results.get("faults", ())) >= 100 or scenario == "rollout"

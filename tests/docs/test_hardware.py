"""docs/hardware.md: each report that is listed is there, verifies, and is of the kind that the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blindsight.attestation import Policy
from blindsight_cli.hardware import report

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "hardware.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if "](hardware/" in line]
REPORTS = sorted(path for path in (DOCS / "hardware").glob("*.json") if not path.name.endswith(".policy.json"))


@pytest.mark.parametrize("file", REPORTS, ids=lambda file: file.stem)
def test_a_report_is_listed_and_holds(file: Path) -> None:
    (row,) = (row for row in ROWS if f"hardware/{file.name})" in row)
    policy = file.with_suffix(".policy.json")
    assert f"hardware/{policy.name})" in row
    found = report.verify(file.read_bytes(), Policy.load(policy))
    assert f"`{found.sha256}`" in row
    assert f"**{found.verified.kind}**" in row
    timings = found.body["timings"]
    assert f"| {timings['p50_ms']:.0f} / {timings['p95_ms']:.0f} ms |" in row


def test_no_row_lacks_its_report() -> None:
    named = set(re.findall(r"\]\(hardware/([\w.-]+)\)", PAGE))
    assert named == {path.name for path in (DOCS / "hardware").iterdir()}
    assert len(ROWS) == len(REPORTS) >= 1


def test_what_was_never_run_is_said() -> None:
    """Until a report of Nitro's is in the table."""
    genuine = any("**nitro**" in row for row in ROWS)
    assert ("never run on AWS hardware" in PAGE) is not genuine

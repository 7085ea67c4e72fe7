"""A run from its command's plan to the pages: bare loop and ours, with a tiny model, for tenths of seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import docs, tables
from benchmarks.inputs import photo
from benchmarks.measure import measure
from benchmarks.plan import Lengths, Plan
from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

LENGTHS = Lengths(rounds=1, seconds=0.2, warm_up=0.1, callers=(1, 2), sealing_seconds=0.2)


def test_a_run_measures_every_lane_and_writes_the_pages(tmp_path: Path) -> None:
    model, root = tmp_path / "model", tmp_path / "root"
    model.mkdir()
    (root / "docs").mkdir(parents=True)
    write_colour_model(model)
    plan = Plan({"float": model}, photo(tmp_path, 320, 240, 85), (), tuned=False, parts=("throughput", "sealing"),
                lengths=LENGTHS)  # fmt: skip
    said: list[str] = []
    results = measure(plan, tmp_path / "out", said.append) | {"command": "a test"}

    rows = results["throughput"]["rows"]
    assert [(row["contender"], row["callers"]) for row in rows] == [
        ("bare loop", 1),
        *((name, callers) for name in ("blindsight", "blindsight, sealed by the caller", "blindsight, Cape's WebSocket")
          for callers in (1, 2)),
    ]  # fmt: skip
    assert all(row["of_bare"]["median"] > 0 for row in rows[1:])
    assert rows[1]["stages_ms"].keys() >= {"seal", "open", "decode", "preprocess", "run", "enclave"}
    assert {"gateway", "enclave runtime", "workers"} <= rows[1]["cpu_ms"].keys()
    assert rows[5]["cpu_ms"].keys() >= {"functions"}
    lanes = results["sealing"]["lanes"]
    assert len(lanes) == 3
    assert all(lane["p50_ms"] > 0 for lane in lanes.values())
    assert set(results["missing"].values()) == {"not asked for"}, "a peer that is left out is told"

    for page in ("README.md", "docs/performance.md"):
        (root / page).write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    docs.write(results, root)
    kept = json.loads((root / docs.RESULTS).read_text())
    for page, content in docs.pages(kept).items():
        assert (root / page).read_text() == f"before\n{docs.BEGIN}\n{content}\n{docs.END}\nafter\n"
        assert "old" not in content
    assert kept["throughput"]["rows"] == results["throughput"]["rows"]
    assert not any("latencies_ms" in turn for turn in kept["throughput"]["turns"])
    assert (root / "docs" / "performance.svg").read_bytes().startswith(b"<?xml")
    assert "LitServe: not asked for" in (root / "docs/performance.md").read_text()
    assert "blindsight, sealed by the caller" in tables.text(tables.throughput(results))

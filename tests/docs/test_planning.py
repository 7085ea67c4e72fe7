"""The figures of docs/planning.md, and of the sections beside the main one, are those of the committed results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import docs, planning
from benchmarks.mutated import pages as mutated
from benchmarks.scale import pages as scale
from benchmarks.soak import pages as soak
from benchmarks.soak import plot
from benchmarks.soak.samples import Samples
from benchmarks.soak.verdict import judge

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[2]


def kept(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPOSITORY / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize("pages", [soak, mutated, scale])
def test_a_section_says_what_its_committed_results_say(pages: ModuleType) -> None:
    """`python -m benchmarks.NAME --committed --write-docs` writes it anew."""
    text = (REPOSITORY / pages.PAGE).read_text("utf-8")
    assert docs.replaced(text, pages.section(kept(pages.RESULTS)), pages.PAGE, pages.NAME) == text


def test_the_plan_is_computed_from_the_committed_results() -> None:
    """`python -m benchmarks.planning` writes it anew."""
    text = (REPOSITORY / planning.PAGE).read_text("utf-8")
    section = planning.section(kept(scale.RESULTS), kept(docs.RESULTS))
    assert docs.replaced(text, section, planning.PAGE, planning.NAME) == text


def test_a_figure_of_the_plan_that_was_changed_by_hand_is_noticed() -> None:
    text = (REPOSITORY / planning.PAGE).read_text("utf-8")
    section = planning.section(kept(scale.RESULTS), kept(docs.RESULTS))
    figure = re.search(r"costs the gateway \d\.(\d)", section)
    assert figure
    changed = text.replace(figure[0], f"{figure[0][:-1]}{(int(figure[1]) + 1) % 10}")
    assert changed != text
    assert docs.replaced(changed, section, planning.PAGE, planning.NAME) != changed


def test_the_committed_soak_keeps_its_bounds(tmp_path: Path) -> None:
    result = kept(soak.RESULTS)
    plan = result["plan"]
    verdict = judge(Samples.parse(result["samples"]), warm_up=plan["warm_up"], window=plan["window"])
    assert verdict.breaches == result["breaches"] == []
    assert result["faults"] == {}
    assert plan["seconds"] >= 1800
    assert sum(plan["crowd"].values()) > planning.PLACES
    plot.write(result, tmp_path)
    assert (REPOSITORY / "docs" / plot.NAME).read_bytes() == (tmp_path / plot.NAME).read_bytes()


def test_the_committed_campaign_has_no_fault() -> None:
    result = kept(mutated.RESULTS)
    assert result["breaches"] == result["faults"] == []
    assert result["worker_restarts"] == 0
    assert result["all"]["images"] == result["plan"]["images"] >= 20_000
    assert sum(row["images"] for row in result["outcomes"].values()) == result["all"]["images"]


def test_the_committed_fleets_are_nearly_linear() -> None:
    result = kept(scale.RESULTS)
    assert [row["enclaves"] for row in result["fleets"]] == [1, 2, 4, 8, 16, 32]
    assert scale.breaches(result) == []


def test_a_fleet_that_does_not_scale_is_a_breach() -> None:
    result = {
        "fleets": [{"enclaves": 32, "efficiency": {"median": 0.89}}, {"enclaves": 1, "efficiency": {"median": 1}}]
    }
    assert scale.breaches(result) == ["32 enclaves: 0.89 of linear"]


def test_more_images_need_more_of_everything() -> None:
    costs = planning.costs(kept(scale.RESULTS), kept(docs.RESULTS))
    for precision in costs.enclave_ms:
        for lane in costs.gateway_ms:
            plans = [planning.plan(rate, precision, lane, costs) for rate in planning.RATES]
            for name in ("enclave_cores", "enclaves", "gateways", "verifications", "all_to_all", "gigabits"):
                values = [getattr(each, name) for each in plans]
                assert values == sorted(values), name
            for each in plans:
                assert each.enclaves * planning.ENCLAVE_CORES >= each.enclave_cores
                assert each.gateways * each.fleet >= each.enclaves
                assert each.gateways * costs.most(lane) >= each.rate

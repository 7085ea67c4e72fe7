"""The figures of README and docs/performance.md are those of the committed results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import docs, plots

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/performance.md")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((REPOSITORY / docs.RESULTS).read_text("utf-8"))
    return kept


@pytest.mark.parametrize("page", PAGES)
def test_the_page_says_what_the_committed_results_say(page: str, results: dict[str, Any]) -> None:
    """`python -m benchmarks report --committed --write-docs` writes them anew."""
    text = (REPOSITORY / page).read_text("utf-8")
    assert docs.replaced(text, docs.pages(results)[page], page) == text


def test_the_plots_are_drawn_from_the_committed_results(results: dict[str, Any], tmp_path: Path) -> None:
    names = plots.write(results, tmp_path)
    assert names == [plots.THROUGHPUT, plots.STORM]
    for name in names:
        assert (REPOSITORY / "docs" / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("page", PAGES)
def test_a_figure_that_was_changed_by_hand_is_noticed(page: str, results: dict[str, Any]) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    rate = f"{results['throughput']['rows'][1]['images_per_second']['median']:.1f}"
    begin = text.index(docs.BEGIN)
    forged = text[:begin] + text[begin:].replace(rate, "99999.9", 1)
    assert forged != text
    assert docs.replaced(forged, docs.pages(results)[page], page) != forged


def test_the_committed_results_name_no_folder_of_a_machine(results: dict[str, Any]) -> None:
    """Such as that of a log, in the reason why a peer is missing."""
    text = json.dumps({name: value for name, value in results.items() if name != "throughput"})
    assert not re.search(r"(?<![\w.])/[a-z]+/[\w./-]+", text)


def test_a_page_without_a_place_for_results_is_refused() -> None:
    with pytest.raises(OSError, match="no lines"):
        docs.replaced("nothing", "figures", "a page")


def test_the_committed_results_are_of_every_part_and_say_where_they_come_from(results: dict[str, Any]) -> None:
    assert {"throughput", "sealing", "sizes", "storm", "noop", "memory", "start"} <= results.keys()
    assert results["machine"]["processor"]
    assert results["command"].startswith("python -m benchmarks run")

"""Tables and plot say what the figures say, and touch nothing else of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import report
from benchmarks.inputs import made_photo

if TYPE_CHECKING:
    from pathlib import Path

STAGES = {"decode": 0.006, "preprocess": 0.004, "run": 0.07, "enclave": 0.082, "seal": 0.0005, "open": 0.0002}


def results() -> dict[str, Any]:
    turns = []
    for number in range(3):
        for contender, answers in (("bare loop", 30), ("plain service", 24), ("blindsight", 27)):
            own = {"gateway": 0.1, "worker 1": 1.0} if contender == "blindsight" else {contender: 1.5}
            turns.append(
                {
                    "round": number,
                    "beside": 1,
                    "contender": contender,
                    "callers": 1,
                    "seconds": 2.0,
                    "latencies": [0.085] * answers,
                    "stages": STAGES if contender == "blindsight" else {},
                    "usage": {"cpu_seconds": own, "machine_cpu_seconds": 2.0, "machine_share": 0.5},
                    "memory": {role: {"rss": 2**20, "rss_peak": 300 * 2**20, "pss": 100 * 2**20} for role in own},
                }
            )
    return {
        "date": "2026-01-02T03:04:05+00:00",
        "command": "python -m benchmarks run",
        "machine": {"processor": "made", "processors": 2, "memory_bytes": 2**33, "system": "Linux"},
        "versions": {"python": "3.11.7"},
        "model": {"name": "resnet50", "version": "v", "trained": False, "onnx": {"bytes": 10**8, "sha256": "ab" * 32}},
        "photo": {"name": "dog.jpeg", "bytes": 5, "width": 1200, "height": 602, "sha256": "cd" * 32},
        "plan": {"rounds": 3, "seconds": 2.0, "warm_up": 1.0, "callers": [1]},
        "turns": turns,
    }


def test_the_text_table_holds_rates_and_ratios() -> None:
    lines = report.text_table(results()).splitlines()
    ours = next(line for line in lines if "blindsight" in line)
    assert "13.50" in ours
    assert "1.12 (1.12..1.12)" in ours
    assert "0.90 (0.90..0.90)" in ours


def test_writing_the_page_leaves_what_stands_around_it(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n")
    report.write_docs(results(), tmp_path)
    text = page.read_text()
    assert text.startswith("before\n<!-- measured: begin -->\n")
    assert text.endswith("\n<!-- measured: end -->\nafter\n")
    assert "old" not in text
    assert "untrained weights" in text
    assert "| 1 | 0.5 | 6.0 | 4.0 | 70.0 | 0.2 | 2.0 | 2.3 | 85.0 |" in text
    assert "| worker 1 | 300 | 100 |" in text
    report.write_docs(results(), tmp_path)
    assert page.read_text() == text


def test_a_page_without_a_place_for_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text("nothing")
    with pytest.raises(OSError, match="no lines"):
        report.write_docs(results(), tmp_path)


def test_the_plot_is_svg_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    report.plot(results(), first)
    report.plot(results(), second)
    assert ET.parse(first).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert first.read_bytes() == second.read_bytes()


def test_the_made_photo_is_always_the_same() -> None:
    assert made_photo().size == (1200, 602)
    assert made_photo(60, 30).tobytes() == made_photo(60, 30).tobytes()

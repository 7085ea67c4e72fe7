"""Soak, campaign and fleets from their plan to the result, with a tiny model, for seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import docs
from benchmarks.inputs import photo
from benchmarks.mutated import campaign
from benchmarks.mutated import pages as mutated_pages
from benchmarks.scale import pages as scale_pages
from benchmarks.scale import run as scale
from benchmarks.soak import pages as soak_pages
from benchmarks.soak import run as soak
from benchmarks.soak.callers import Crowd
from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_colour_model(folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    return [photo(folder, width, 240, 85) for width in (320, 300)]


def test_a_soak_asks_in_every_way_and_finds_no_fault(tmp_path: Path, model: Path, photos: list[Path]) -> None:
    crowd = Crowd(form=2, raw=2, raw_on_new_connections=1, json=1, sealed=2, batch=1, refused=1)
    plan = soak.Plan(seconds=4, warm_up=1, window=1, every=0.2, crowd=crowd)
    result = soak.soak(plan, model, photos, tmp_path, lambda _: None)
    assert result["faults"] == {}
    # So short a time has no steady state.
    assert not [each for each in result["breaches"] if "grew" not in each]
    assert result["answers"].keys() == {"form", "raw", "raw, new connection", "JSON", "sealed", "batch", "refused body"}
    assert result["images"] > sum(result["answers"].values()) - result["answers"]["refused body"]
    assert {"gateway", "enclave runtime", "worker 1", "worker 2"} <= {row["role"] for row in result["rows"]}
    found = json.loads(soak_pages.dumped(result | {"command": "a test"}))
    assert "gateway" in soak_pages.section(found)


def test_wrong_expectations_are_faults(tmp_path: Path, model: Path, photos: list[Path]) -> None:
    """The same stack, if the function had answered otherwise."""
    with pytest.MonkeyPatch.context() as changed:
        real = soak.soak_photos.answered

        def other(*arguments: object) -> list[object]:
            first, second = real(*arguments)  # type: ignore[arg-type]  # passed on as they come
            return [type(first)(first.name, first.content, first.scores, {"width": 1, "height": 1}), second]

        changed.setattr(soak.soak_photos, "answered", other)
        plan = soak.Plan(2, 0.5, 0.5, 0.2, Crowd(2, 1, 1, 1, 1, 1, 1))
        result = soak.soak(plan, model, photos, tmp_path, lambda _: None)
    assert any("another size" in each for each in result["breaches"])


def test_a_campaign_gets_documented_answers_alone(tmp_path: Path, model: Path, photos: list[Path]) -> None:
    result = campaign.run(campaign.Plan(150, "a test", 4), model, photos[:1], tmp_path, lambda _: None)
    assert result["faults"] == []
    assert result["worker_restarts"] == 0
    assert result["all"]["images"] == sum(row["images"] for row in result["outcomes"].values()) == 150
    assert {"answered", "truncated_image", "unsupported_media_type"} <= result["outcomes"].keys()
    assert "truncated_image" in mutated_pages.section(json.loads(mutated_pages.dumped(result | {"command": "a test"})))


def test_fleets_are_measured_and_each_enclave_gets_requests(tmp_path: Path, model: Path) -> None:
    plan = scale.Plan(
        sizes=(1, 2), sleep=0.05, rounds=1, warm_up=0.2, seconds=1, bodies=(("sealed", 13_000),), idle_seconds=0.5
    )
    result = scale.measure(plan, model, tmp_path, lambda _: None)
    one, two = result["fleets"]
    assert two["requests_per_second"]["median"] > 1.3 * one["requests_per_second"]["median"]
    assert one["efficiency"]["median"] == 1
    assert result["costs"][0]["gateway_ms"]["median"] > 0
    assert result["verification_ms"] > 0
    assert "of linear" in scale_pages.section(json.loads(docs.dumped(result | {"command": "a test"})))

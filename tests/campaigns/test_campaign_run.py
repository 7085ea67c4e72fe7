"""The campaigns, with a tiny model, for some seconds: what they write, and that they fail where they must."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from campaigns import faults as campaign
from campaigns import photos, report
from campaigns.plan import Plan
from tests.support.images import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.models import TinyModel

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")), reason="nginx (Debian: nginx-light)"
    ),
]

ROOT = Path(__file__).resolve().parents[2]
CROWDED = ["--crowding", "6"]
"""Other tests run beside these."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jpegs")
    for class_id in (3, 50, 77, 200):
        (folder / f"{class_id}.jpeg").write_bytes(plain(class_id, "JPEG", quality=95))
    return folder


def ran(out: Path, scenario: str, model: Path, images: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, results, and what was printed."""
    command = [
        sys.executable, "-m", "campaigns", scenario, "--model", str(model), "--images", str(images), "--out", str(out),
        "--settle", "3", "--warm-up", "3", "--callers", "8", "--pause", "0.8", "--seed", "5", *options,
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=kept)
    file = out / f"{scenario}.json"
    assert file.exists(), done.stderr
    return done.returncode, json.loads(file.read_text()), done.stdout + done.stderr


def test_ten_seconds_of_faults(colour_model: TinyModel, images: Path, tmp_path: Path) -> None:
    kinds = ("worker killed", "runtime killed", "gateway killed", "link reset in a frame", "gateway's clock ahead")
    status, results, printed = ran(
        tmp_path, "faults", colour_model.folder, images, "--seconds", "10", "--enclaves", "2", "--faults-a-minute",
        "24", *CROWDED, *(word for kind in kinds for word in ("--only", kind)),
    )  # fmt: skip
    assert (status, results["failures"], results["passed"]) == (0, [], True), printed
    assert not any(results["mistakes"].values())
    assert min(results["right"].values()) > 0
    assert results["right"].keys() == {"plain", "sealed", "batch"}
    assert len(results["faults"]) >= 2
    assert "seed 5" in printed
    assert report.summary(results) in printed


def test_a_recovery_that_takes_too_long_fails(colour_model: TinyModel, images: Path, tmp_path: Path) -> None:
    status, results, printed = ran(
        tmp_path, "faults", colour_model.folder, images, "--seconds", "3", "--enclaves", "1", "--gateways", "1",
        "--only", "worker killed", "--faults-a-minute", "60", "--crowding", "0.01",
    )  # fmt: skip
    assert (status, results["passed"]) == (1, False), printed
    assert "not whole in time: enclave 1 after worker killed" in results["failures"][0]
    assert "**Not passed**" in printed


def test_a_roll_out(colour_model: TinyModel, images: Path, tmp_path: Path) -> None:
    status, results, printed = ran(
        tmp_path, "rollout", colour_model.folder, images, "--seconds", "24", *CROWDED
    )  # fmt: skip
    assert (status, results["failures"], results["passed"]) == (0, [], True), printed
    assert [row["step"].split(" is ")[0] for row in results["steps"]] == [
        "enclave 1", "enclave 2", "enclave 2", "gateway 1", "enclave 3",
    ]  # fmt: skip
    assert results["right"].keys() >= {"sealed, old release", "sealed, new release"}
    assert results["expected_refusals"]["sealed, old release"] > 0


def test_an_answer_for_another_photo_fails(
    colour_model: TinyModel, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is right; what the campaign knows of one photo is made wrong."""
    known = photos.expected

    def mistaken(model: Path, files: Sequence[Path], work: Path) -> list[photos.Photo]:
        found = known(model, files, work)
        return [*found[:-1], dataclasses.replace(found[-1], class_id=found[0].class_id)]

    monkeypatch.setattr(photos, "expected", mistaken)
    plan = Plan(
        colour_model.folder, tuple(sorted(images.iterdir())), seconds=4, callers=4, enclaves=1, gateways=1, pause=0.3,
        kinds=("gateway stopped",), faults_a_minute=10, settle=1, warm_up=1,
    )  # fmt: skip
    results = asyncio.run(campaign.faults(plan, tmp_path, lambda _: None, mounted=False))
    assert results["mistakes"]["wrong answer"]
    assert not results["passed"]
    assert not results["mistakes"]["undocumented"]

"""docs/several.md: from a clone to a sealed answer through two gateways, by typing what the page shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.docs.reader import type_in
from tests.support.documented import REPOSITORY, commands_of
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.stack

WRITTEN = ("7501", "7502", "8001", "8002", "8080", "9001", "9002")


@pytest.fixture
def clone(tmp_path: Path, assets: Path) -> Iterator[Path]:
    """A clone with the changes that are not committed yet, and the environment that the page has made first."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", REPOSITORY, folder], check=True)
    changed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, changed.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    shutil.copy(assets / "images" / "dog.jpeg", folder)
    yield folder
    for process in psutil.process_iter(["cwd"]):
        # After a failed command: those that the page has stopped are gone.
        if process.info["cwd"] and process.info["cwd"].startswith(str(folder)):
            process.kill()


def test_the_page_leads_to_a_sealed_answer_through_two_gateways(clone: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    ports = {written: str(free_port()) for written in WRITTEN}

    def here(text: str) -> str:
        return re.sub(rf"\b(?:{'|'.join(WRITTEN)})\b", lambda found: ports[found[0]], text)

    configuration = clone / "deploy" / "nginx" / "nginx.conf"
    configuration.write_text(here(configuration.read_text("utf-8")), "utf-8")
    found = [replace(each, typed=here(each.typed)) for each in commands_of("docs/several.md")]
    # Without the page's variables, which the shell exports.
    assert type_in(clone, found, {}) == []
    logs = {path.name: path.read_text("utf-8") for path in (clone / "fleet").glob("*.log")}
    for name in ("gateway-1.log", "gateway-2.log"):
        assert logs[name].count('"event": "evidence accepted"') == 2, f"{name}: each gateway verifies both enclaves"
    lines = (logs["gateway-1.log"] + logs["gateway-2.log"]).splitlines()
    answered = [each["status"] for each in map(json.loads, lines) if each.get("method") == "POST"]
    assert answered == [200] * 5
    assert not (clone / "fleet" / "nginx.pid").exists(), "the page ends what it has started"

"""The client of the release before, installed from its wheel, against the enclave, gateway and policy of today."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import images, wheels

if TYPE_CHECKING:
    from tests.support.stack import Stack

HERE = Path(__file__).parent
WHEELS = sorted(HERE.glob("*.whl"))


@pytest.fixture(scope="module", params=WHEELS, ids=lambda wheel: wheel.name.split("-")[1])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a wheel of an earlier release."""
    return wheels.install(request.param, tmp_path_factory.mktemp("before") / "venv")


def test_the_wheels_are_those_that_were_built() -> None:
    rows = re.findall(r"^\| `(\S+\.whl)` \| `([0-9a-f]{64})` \|", (HERE / "README.md").read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in WHEELS}
    assert rows


def test_it_is_another_release_than_this(client: Path, tmp_path: Path) -> None:
    import blindsight

    before = wheels.run(client, "blindsight", "--version", folder=tmp_path).stdout.strip()
    older, newer = ([int(part) for part in version.split(".")] for version in (before, blindsight.__version__))
    assert older < newer


def test_it_attests_classifies_and_keeps_receipts(client: Path, tiny_stack: Stack, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(images.plain(9))
    policy = ("--policy", str(tiny_stack.policy_file))
    attested = wheels.run(client, "blindsight", "attest", tiny_stack.gateway.url, *policy, folder=tmp_path)
    assert "11. Binding" in attested.stdout

    sealed = ("classify", "--sealed", "--json", "--receipts", "kept", "--url", tiny_stack.gateway.url, *policy)
    answer = json.loads(wheels.run(client, "blindsight", *sealed, str(photo), folder=tmp_path).stdout)
    assert answer["predictions"][0]["rank"] == 1

    (receipt,) = (tmp_path / "kept").iterdir()
    verify = ("receipt", "verify", str(receipt), "--photo", str(photo), *policy)
    verified = wheels.run(client, "blindsight", *verify, folder=tmp_path)
    assert "this enclave gave this answer" in verified.stdout

    plain = ("classify", "--json", "--url", tiny_stack.gateway.url, str(photo))
    assert json.loads(wheels.run(client, "blindsight", *plain, folder=tmp_path).stdout)["predictions"]


def test_this_release_verifies_its_receipts(client: Path, tiny_stack: Stack, tmp_path: Path) -> None:
    from blindsight import receipts

    photo = tmp_path / "photo.png"
    photo.write_bytes(images.plain(3))
    command = ("classify", "--sealed", "--receipts", "kept", "--url", tiny_stack.gateway.url, "--policy",
               str(tiny_stack.policy_file), str(photo))  # fmt: skip
    wheels.run(client, "blindsight", *command, folder=tmp_path)
    (kept,) = (tmp_path / "kept").iterdir()
    verified = receipts.verify(json.loads(kept.read_bytes()), policy=tiny_stack.policy, image=photo.read_bytes())
    assert verified.image_checked

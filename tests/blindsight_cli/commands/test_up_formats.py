"""`blindsight up --formats`: the formats that are taken, from the command line over the evidence to the answers."""

from __future__ import annotations

import base64
import hashlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import rfc8785
from PIL import Image

import model_build
from blindsight import Client
from tests.blindsight_cli.commands.test_up import Up
from tests.support.command import blindsight
from tests.support.images import encode
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFLINE_MODEL = Path(model_build.__file__).parent / "offline_model"
PHOTO = Image.linear_gradient("L").convert("RGB")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(OFFLINE_MODEL, tmp_path_factory.mktemp("up"), "--formats", "avif,jpeg", "--metrics-port", "0")
    wait_until("the stack", running.ready, seconds=60)
    yield running
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0, running.output()


def get(up: Up, path: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{up.url}{path}", trust_env=False).raise_for_status().json()
    return found


def test_info_and_evidence_say_what_is_taken(up: Up) -> None:
    assert get(up, "/info")["model"]["formats"] == ["jpeg", "avif"]
    attestation = get(up, "/attestation")
    assert attestation["model"]["formats"] == ["jpeg", "avif"]
    digest = hashlib.sha256(rfc8785.dumps(attestation["model"])).digest()
    assert base64.b64encode(digest) in base64.b64decode(attestation["document"])


def test_exactly_those_are_taken(up: Up) -> None:
    with Client(up.url, policy=up.state / "policy.json") as client:
        assert client.classify(encode(PHOTO, "AVIF")).predictions
        assert client.classify(encode(PHOTO, "JPEG")).predictions
    for image_format in ("PNG", "WEBP", "GIF"):
        answer = httpx2.post(
            f"{up.url}/classify",
            content=encode(PHOTO, image_format),
            headers={"content-type": "application/octet-stream"},
            trust_env=False,
        )
        assert answer.status_code == 415
        assert "this model takes JPEG and AVIF" in answer.json()["detail"]


def test_the_command_sends_what_is_taken_as_it_is(up: Up, tmp_path: Path) -> None:
    (tmp_path / "photo.avif").write_bytes(encode(PHOTO, "AVIF"))
    for more in ([], ["--sealed", "--policy", str(up.state / "policy.json")]):
        done = blindsight(tmp_path, "classify", *more, "--url", up.url, "photo.avif")
        assert done.returncode == 0, done.stderr
        assert "turned from" not in done.stderr


def test_the_description_says_where_the_formats_stand(up: Up) -> None:
    text = httpx2.get(f"{up.url}/openapi.json", trust_env=False).text
    assert "JPEG, PNG and WebP, unless the model was built for other formats" in text
    assert "`model.formats`" in text


def test_formats_that_are_not_known_are_refused(tmp_path: Path) -> None:
    ports = ["--port", str(free_port()), "--tls-port", "0", "--metrics-port", "0"]
    arguments = [*ports, "--state", str(tmp_path / "state"), "--model", str(OFFLINE_MODEL)]
    done = blindsight(tmp_path, "up", *arguments, "--formats", "heic")
    assert done.returncode
    assert "formats are jpeg, png, webp, avif" in done.stderr
    assert "Traceback" not in done.stderr

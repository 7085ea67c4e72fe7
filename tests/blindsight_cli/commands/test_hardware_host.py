"""What a hardware report says of its host: with and without Nitro's tools and EC2's metadata service."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from blindsight_cli.hardware import host
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENCLAVES = [
    {"EnclaveID": "i-0abc-enc1", "EnclaveCID": 16, "NumberOfCPUs": 2, "MemoryMiB": 4096, "State": "RUNNING",
     "Flags": "DEBUG_MODE", "Measurements": {"PCR0": "00"}},
]  # fmt: skip


def tool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `nitro-cli` of the tests' own."""
    file = folder / "nitro-cli"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_nitros_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = host.facts()
    assert (facts["nitro_cli"], facts["enclaves"], facts["instance"]) == (None, None, None)
    assert facts["processors"] >= 1
    assert facts["memory_bytes"] > 1 << 20


def test_with_them_size_and_mode_are_kept_and_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps(ENCLAVES)
    tool(tmp_path, f"[ $1 = --version ] && echo Nitro CLI 1.4.2 || echo '{said}'", monkeypatch)
    facts = host.facts()
    assert facts["nitro_cli"] == "Nitro CLI 1.4.2"
    assert facts["enclaves"] == [{"NumberOfCPUs": 2, "MemoryMiB": 4096, "State": "RUNNING", "Flags": "DEBUG_MODE"}]
    assert "i-0abc" not in json.dumps(facts)


@pytest.mark.parametrize("script", ["exit 1", "echo no json", "echo '{}'", "echo '[7]'"])
def test_tools_that_fail_or_say_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool(tmp_path, script, monkeypatch)
    assert not host.facts()["enclaves"]


class _Imds(BaseHTTPRequestHandler):
    """Version 2: a token first."""

    asked: list[str]

    def do_PUT(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60"
        self._say(200, "the token")

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != "the token":
            self._say(401, "no")
            return
        known = {"instance-type": "c6a.xlarge\n\x1b[2J", "placement/region": "eu-central-1"}
        name = self.path.removeprefix("/latest/meta-data/")
        self.asked.append(name)
        self._say(200 if name in known else 404, known.get(name, "none"))

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def imds() -> Iterator[HTTPServer]:
    handler = type("Imds", (_Imds,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_metadata_service_is_asked_on_request_only(imds: HTTPServer) -> None:
    url = f"http://127.0.0.1:{imds.server_address[1]}"
    asked = imds.RequestHandlerClass.asked
    assert host.facts(imds=url)["instance"] is None
    assert asked == []
    facts = host.facts(instance=True, imds=url)
    assert facts["instance"] == {"instance_type": "c6a.xlarge  [2J", "region": "eu-central-1"}
    assert set(asked) == {"instance-type", "placement/region", "placement/availability-zone", "ami-id"}


def test_where_there_is_none_that_is_said() -> None:
    assert host.facts(instance=True, imds=f"http://127.0.0.1:{free_port()}")["instance"] is None

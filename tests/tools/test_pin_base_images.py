"""The digests of base images, from a registry of our own."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "pin_base_images.py"
DIGEST = "sha256:" + "ab" * 32
DOCKERFILE = "FROM python:3.11.14-slim-bookworm AS base\nRUN true\nFROM base AS gateway\n"


@pytest.fixture
def registry() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A registry's address, and what it was asked."""
    asked: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append((self.path, self.headers["accept"]))
            known = self.path == "/v2/library/python/manifests/3.11.14-slim-bookworm"
            self.send_response(200 if known else 404)
            if known:
                self.send_header("Docker-Content-Digest", DIGEST)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def pin(file: Path, registry: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(file), "--registry", registry, "--no-token"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tags_become_digests_and_stages_stay(tmp_path: Path, registry: tuple[str, list[tuple[str, str]]]):
    address, asked = registry
    file = tmp_path / "Dockerfile"
    file.write_text(DOCKERFILE)
    done = pin(file, address)
    assert (done.returncode, done.stderr) == (0, "")
    assert file.read_text() == DOCKERFILE.replace("bookworm AS", f"bookworm@{DIGEST} AS")
    assert "application/vnd.oci.image.index.v1+json" in asked[0][1]
    assert pin(file, address).stdout == "every base image has its digest\n"
    assert len(asked) == 1


@pytest.mark.parametrize("image", ["python:no-such-tag", "unknown:1"])
def test_nothing_is_written_unless_all_is_known(
    tmp_path: Path, registry: tuple[str, list[tuple[str, str]]], image: str
):
    file = tmp_path / "Dockerfile"
    content = DOCKERFILE + f"FROM {image}\n"
    file.write_text(content)
    done = pin(file, registry[0])
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "next"]
    assert file.read_text() == content


def test_the_projects_own_dockerfile_is_understood(tmp_path: Path, registry: tuple[str, list[tuple[str, str]]]):
    file = tmp_path / "Dockerfile"
    file.write_bytes((SCRIPT.parents[1] / "Dockerfile").read_bytes())
    assert pin(file, registry[0]).returncode == 0
    assert DIGEST in file.read_text()


def test_images_of_compose_files_too(tmp_path: Path, registry: tuple[str, list[tuple[str, str]]]):
    file = tmp_path / "docker-compose.yml"
    content = "services:\n  a:\n    image: python:3.11.14-slim-bookworm\n  b:\n    build: {context: .}\n"
    file.write_text(content)
    done = pin(file, registry[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert file.read_text() == content.replace("bookworm", f"bookworm@{DIGEST}")

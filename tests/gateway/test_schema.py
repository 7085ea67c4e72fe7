"""schemathesis against the running service: no answer that the OpenAPI page does not document."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

PATHS = {
    "/classify", "/classify/batch", "/ohttp", "/.well-known/ohttp-gateway", "/attestation", "/livez", "/readyz",
    "/info", "/v2/health/live", "/v2/health/ready",
}  # fmt: skip

CAPE_PATHS = {
    "/v1/accounts", "/v1/account", "/v1/user/{username}/key", "/v1/functions", "/v1/functions/{function_id}",
    "/v1/token", "/v1/tokens", "/v1/token/{token_id}", "/oauth/device/code", "/oauth/token", "/oauth/device/decision",
    "/oauth/device/login",
}  # fmt: skip

HOOKS = """
import schemathesis

schemathesis.serializer.alias("message/ohttp-req", "application/octet-stream")
"""

CONFIG = """
hooks = "hooks"

# What the schema allows is still seldom an image, a signed token or a known name: for these, a refusal is a right
# answer to well-formed input.
[[operations]]
include-path-regex = "^/(classify|ohttp|v1/|oauth/)"
[operations.checks.positive_data_acceptance]
enabled = false

# A part of a form is bytes, of whatever type the schema's violation was.
[[operations]]
include-path-regex = "^/classify/batch$"
[operations.checks.negative_data_rejection]
enabled = false
"""


def test_every_answer_is_documented(tiny_stack: Stack, tmp_path: Path) -> None:
    answered = _explore(tiny_stack.gateway.url, tmp_path)
    assert {path for path, _ in answered} >= PATHS
    assert {status for path, status in answered if path == "/classify"} >= {200, 400, 405, 415, 422}
    assert {status for path, status in answered if path == "/ohttp"} >= {400, 405, 415}
    assert not {status for _, status in answered if status >= 500}


def test_every_answer_of_the_cape_host_is_documented(tiny_stack: Stack, tmp_path: Path) -> None:
    cape = {"database": f"sqlite:///{tmp_path / 'cape.sqlite'}", "bundles": tmp_path / "bundles", "open_signup": True}
    with tiny_stack.another_gateway(**cape) as gateway:
        described = gateway.client.get("/openapi.json").json()["paths"]
        answered = _explore(gateway.url, tmp_path, "--include-path-regex", "^/(v1|oauth|device)")
    assert set(described) == PATHS | CAPE_PATHS
    assert {path for path, _ in answered} >= {path for path in CAPE_PATHS if "{" not in path}
    assert {status for path, status in answered if path == "/v1/accounts"} >= {400, 401, 405}
    assert {status for path, status in answered if path == "/oauth/device/code"} >= {200, 405}
    assert not {status for _, status in answered if status >= 500}
    with tiny_stack.another_gateway(**cape | {"open_signup": False}) as gateway:
        answered = _explore(gateway.url, tmp_path, "--include-path", "/v1/accounts")
    assert {status for path, status in answered if path == "/v1/accounts"} == {401, 405}


def _explore(url: str, tmp_path: Path, *options: str) -> set[tuple[str, int]]:
    """Examples, boundary values, well-formed and malformed input of every operation, with all checks.

    Path and status of every answer.
    """
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "hooks.py").write_text(HOOKS)
    events = tmp_path / "events.ndjson"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", "schemathesis.toml",
        "run", f"{url}/openapi.json", *options,
        "--phases", "examples,coverage,fuzzing", "--mode", "all", "--max-examples", "8",
        "--seed", "1", "--no-shrink", "--continue-on-failure",
        "--report", "ndjson", "--report-ndjson-path", str(events),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    return _answers(events)


def _answers(events: Path) -> set[tuple[str, int]]:
    """Path and status of every answer that was recorded."""
    found: set[tuple[str, int]] = set()

    def collect(node: object) -> None:
        if isinstance(node, list):
            for item in node:
                collect(item)
        elif isinstance(node, dict):
            request, response = node.get("request"), node.get("response")
            if isinstance(request, dict) and isinstance(response, dict) and "status_code" in response:
                path = "/" + request["uri"].partition("//")[2].partition("/")[2].partition("?")[0]
                found.add((path, response["status_code"]))
            for value in node.values():
                collect(value)

    for line in events.read_text().splitlines():
        collect(json.loads(line))
    return found

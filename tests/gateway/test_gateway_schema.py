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
    "/classify", "/classify/batch", "/attestation", "/livez", "/readyz", "/info", "/v2/health/live", "/v2/health/ready",
}  # fmt: skip

CONFIG = """
# What the schema allows is still seldom an image: for these two, a refusal is a right answer to well-formed input.
[[operations]]
include-path-regex = "^/classify"
[operations.checks.positive_data_acceptance]
enabled = false
"""


def test_every_answer_is_documented(tiny_stack: Stack, tmp_path: Path) -> None:
    """Examples, boundary values, well-formed and malformed input of every operation, with all checks."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    events = tmp_path / "events.ndjson"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", "schemathesis.toml",
        "run", f"{tiny_stack.gateway.url}/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--mode", "all", "--max-examples", "12",
        "--seed", "1", "--no-shrink", "--continue-on-failure",
        "--report", "ndjson", "--report-ndjson-path", str(events),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    answered = _answers(events)
    assert {path for path, _ in answered} >= PATHS
    assert {status for path, status in answered if path == "/classify"} >= {200, 400, 405, 415, 422}
    assert not {status for _, status in answered if status >= 500}


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

"""The installed JavaScript client on Node.js against a real stack, beside the Python client."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blindsight import Client, EvidenceError, Policy, receipts
from gateway import tokens
from tests.support import node
from tests.support.images import plain
from tests.support.models import label_of
from tests.support.wire import free_port

if TYPE_CHECKING:
    from tests.support.stack import Stack

SCRIPT = Path(__file__).with_name("classify.mjs")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    app = node.app(tmp_path_factory.mktemp("consumer"))
    (app / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    (app / "photo.png").write_bytes(plain(905))
    return app


def classified(app: Path, url: str, policy: Path, photo: str = "photo.png", **more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        node.run(node.node(), SCRIPT.name, url, policy, photo, cwd=app, environment={**os.environ, **more})
    )
    return found


def test_it_finds_what_the_python_client_finds(tiny_stack: Stack, app: Path) -> None:
    found = classified(app, tiny_stack.gateway.url, tiny_stack.policy_file)
    photo = (app / "photo.png").read_bytes()
    with Client(tiny_stack.gateway.url, policy=tiny_stack.policy) as client:
        report = client.verify()
        answer = client.classify(photo, top_k=3)
    assert found["steps"] == len(report.steps) == 11
    assert steps(found["report"]) == steps(report.render())
    ours = [[each.rank, each.class_id, each.label, each.score] for each in answer.predictions]
    assert [list(each.values()) for each in found["predictions"]] == ours
    assert found["sent"] % 1024 == (7 + 1120 + 16) % 1024

    kept = receipts.verify(json.loads(found["archive"]), policy=tiny_stack.policy, image=photo)
    assert kept.receipt.iat == found["issued"]
    assert kept.image_checked


def steps(report: str) -> list[str]:
    """Without what differs between two documents: times and sizes."""
    return [re.sub(r"\d{4}-\d\d-\d\d [\d:]+Z|\d+ bytes", "…", line) for line in report.splitlines()]


def test_it_refuses_what_the_python_client_refuses(tiny_stack: Stack, app: Path, tmp_path: Path) -> None:
    members = json.loads(tiny_stack.policy.to_json())
    members["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    other = tmp_path / "policy.json"
    other.write_text(json.dumps(members))
    found = classified(app, tiny_stack.gateway.url, other)
    with (
        Client(tiny_stack.gateway.url, policy=Policy.load(other)) as client,
        pytest.raises(EvidenceError) as refused,
    ):
        client.verify()
    error = refused.value
    assert found == {
        "name": type(error).__name__,
        "code": error.code,
        "nextStep": error.next_step,
        "retryable": error.retryable,
        "step": error.step,
    }
    assert error.code == "pcr_mismatch"


def test_the_enclaves_refusal_and_a_gateway_that_is_not_there(tiny_stack: Stack, app: Path) -> None:
    found = classified(app, tiny_stack.gateway.url, tiny_stack.policy_file, "package.json")
    assert (found["name"], found["code"], found["retryable"]) == ("Problem", "not_an_image", False)
    found = classified(app, f"http://127.0.0.1:{free_port()}", tiny_stack.policy_file)
    assert (found["name"], found["code"], found["retryable"]) == ("TransportError", "unreachable", True)


def test_the_program_of_its_page(tiny_stack: Stack, app: Path) -> None:
    """clients/js/README.md, as it stands."""
    (program,) = re.findall(r"^```js\n(.*?)^```$", (node.CLIENT / "README.md").read_text("utf-8"), re.M | re.S)
    assert "https://photos.example" in program
    (app / "program.mjs").write_text(program.replace("https://photos.example", tiny_stack.gateway.url))
    (app / "policy.json").write_bytes(tiny_stack.policy_file.read_bytes())
    (app / "dog.jpeg").write_bytes(plain(905, "JPEG", quality=100))
    said = node.run(node.node(), "program.mjs", cwd=app).splitlines()
    assert len([line for line in said if re.match(r" *\d+\. ", line)]) == 11
    assert said[-3].startswith(f"{label_of(905)} ")


def test_a_gateway_that_asks_for_a_token(tiny_stack: Stack, app: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    token = tokens.create("app", file)
    with tiny_stack.another_gateway(tokens_file=file) as gateway:
        found = classified(app, gateway.url, tiny_stack.policy_file)
        assert (found["name"], found["code"]) == ("GatewayProblem", "unauthenticated")
        assert len(classified(app, gateway.url, tiny_stack.policy_file, TOKEN=token)["predictions"]) == 3

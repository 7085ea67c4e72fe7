"""The API's description, as those read it who generate a client from it or copy its examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from gateway.tokens import create
from tests.support.images import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

OPERATIONS = {
    "classify": "POST /classify",
    "classifyBatch": "POST /classify/batch",
    "getKeyConfigurations": "GET /.well-known/ohttp-gateway",
    "sendSealed": "POST /ohttp",
    "getAttestation": "GET /attestation",
    "getLiveness": "GET /livez",
    "getReadiness": "GET /readyz",
    "getServerLive": "GET /v2/health/live",
    "getServerReady": "GET /v2/health/ready",
    "getInfo": "GET /info",
    "createAccount": "POST /v1/accounts",
    "deleteAccount": "DELETE /v1/account",
    "getUserKey": "GET /v1/user/{username}/key",
    "listFunctions": "GET /v1/functions",
    "getFunction": "GET /v1/functions/{function_id}",
    "deleteFunction": "DELETE /v1/functions/{function_id}",
    "registerToken": "POST /v1/token",
    "listTokens": "GET /v1/tokens",
    "revokeToken": "DELETE /v1/token/{token_id}",
    "requestDeviceCode": "POST /oauth/device/code",
    "pollDeviceLogin": "POST /oauth/token",
    "decideDeviceLogin": "POST /oauth/device/decision",
    "getDeviceLogin": "GET /oauth/device/login",
}
"""What generators name methods and modules by: a change of one breaks the clients that were generated."""

CLASS = 905

_OPAQUE = {"versions"}
"""Members whose own members differ from model to model."""


@pytest.fixture(scope="module")
def description(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a gateway that is a Cape host, too."""
    folder = tmp_path_factory.mktemp("openapi")
    cape = {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles", "open_signup": True}
    with tiny_stack.another_gateway(**cape) as gateway:
        described: dict[str, Any] = gateway.client.get("/openapi.json").json()
    return described


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def answers(description: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Operation, status, media type and content of every answer that is not bytes."""
    for name, operation in operations(description):
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                if content["schema"].get("format") != "binary":
                    yield name, status, media_type, content


def examples(content: dict[str, Any]) -> dict[str, Any]:
    """By name."""
    return {name: example["value"] for name, example in content.get("examples", {}).items()}


def test_operations_have_names_for_methods(description: dict[str, Any]) -> None:
    assert {operation["operationId"]: name for name, operation in operations(description)} == OPERATIONS


def test_every_answer_has_examples_of_its_schema(description: dict[str, Any]) -> None:
    faults: list[str] = []
    for name, status, media_type, content in answers(description):
        where = f"{name} {status} {media_type}"
        schema = {**content["schema"], "components": description["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        shown = examples(content)
        if not shown:
            faults.append(f"{where}: no example")
        for example, value in shown.items():
            faults += [f"{where}, {example}: {error.message}" for error in validator.iter_errors(value)]
    assert faults == []


def test_every_code_that_is_named_has_an_example(description: dict[str, Any]) -> None:
    missing: list[str] = []
    for name, operation in operations(description):
        for status, response in operation["responses"].items():
            named = re.findall(r"`([a-z_]+)`", response["description"]) if status[0] in "45" else []
            shown = {code for content in response["content"].values() for code in examples(content)}
            missing += [f"{name} {status} {code}" for code in named if code not in shown]
    assert missing == []


def test_no_example_is_a_placeholder(description: dict[str, Any]) -> None:
    details = [
        value.get("detail", value.get("error"))
        for name, status, _, content in answers(description)
        for value in examples(content).values()
        if status[0] in "45"
    ]
    assert details
    assert "What exactly, and what to do." not in details
    # One text a code, and no two codes share one.
    by_code: dict[str, set[str]] = {}
    for _, status, _, content in answers(description):
        for code, value in examples(content).items():
            if status[0] in "45" and "detail" in value:
                by_code.setdefault(code, set()).add(value["detail"])
    assert all(len(texts) == 1 for texts in by_code.values())
    assert len({text for texts in by_code.values() for text in texts}) == len(by_code)


def test_no_schema_is_left_over(description: dict[str, Any]) -> None:
    used: set[str] = set()

    def follow(node: object) -> None:
        if isinstance(node, list):
            for item in node:
                follow(item)
        elif isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in used:
                used.add(name)
                follow(description["components"]["schemas"][name])
            for value in node.values():
                follow(value)

    follow(description["paths"])
    assert set(description["components"]["schemas"]) == used


def test_problems_are_of_one_media_type(description: dict[str, Any]) -> None:
    """What a route answers otherwise is not what it refuses with."""
    for name, operation in operations(description):
        if "cape" not in operation["tags"]:
            for status, response in operation["responses"].items():
                if status[0] in "45":
                    assert set(response["content"]) == {"application/problem+json"}, f"{name} {status}"


def named(description: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    """The schema that is referred to."""
    found: dict[str, Any] = description["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
    return found


def test_results_of_a_batch_are_typed(description: dict[str, Any]) -> None:
    answer = description["paths"]["/classify/batch"]["post"]["responses"]["200"]["content"]["application/json"]
    items = named(description, answer["schema"])["properties"]["results"]["items"]
    kinds = named(description, items).get("anyOf", []) if "$ref" in items else []
    required = [set(named(description, kind).get("required", ())) for kind in kinds]
    assert required == [{"predictions", "image", "timings_ms"}, {"problem"}]


def test_bodies_state_no_defaults(description: dict[str, Any]) -> None:
    """Generated clients send defaults: one in the form would contradict what their caller put into the query."""
    schemas = description["components"]["schemas"]
    stated = {
        f"{name}.{member}"
        for name in ("ImageForm", "ImagesForm", "EncodedImage", "CapeCiphertext")
        for member, schema in schemas[name]["properties"].items()
        if "default" in schema
    }
    assert stated == set()


def test_every_tag_is_explained(description: dict[str, Any]) -> None:
    explained = {tag["name"]: tag["description"] for tag in description.get("tags", ())}
    assert list(explained) == ["classify", "sealed", "evidence", "operations", "cape"]
    assert {tag for _, operation in operations(description) for tag in operation["tags"]} == set(explained)


def paths(value: object, prefix: str = "") -> set[str]:
    """The names of all members, of those in lists and in objects, too."""
    if isinstance(value, list):
        return set().union(*(paths(item, f"{prefix}[]") for item in value)) if value else set()
    if not isinstance(value, dict):
        return {f"{prefix}: {type(value).__name__}"}
    inner = (
        {f"{prefix}.{name}"} if name in _OPAQUE else paths(member, f"{prefix}.{name}") for name, member in value.items()
    )
    return set().union(*inner)


def test_examples_look_like_what_is_answered(tiny_stack: Stack, description: dict[str, Any], tmp_path: Path) -> None:
    client = tiny_stack.client
    photo = plain(CLASS)
    files = [("files", ("a.png", photo)), ("files", ("b.txt", b"no photo"))]
    given = {
        ("POST /classify", "photo"): client.post("/classify", files={"file": photo}),
        ("POST /classify", "receipt"): client.post("/classify?receipt=true&top_k=1", files={"file": photo}),
        ("POST /classify/batch", "batch"): client.post("/classify/batch?top_k=2", files=files),
        ("GET /attestation", "evidence"): client.get("/attestation?nonce=bWFrZSB5b3VyIG93biByYW5kb20gYnl0ZXM"),
        ("GET /livez", "alive"): client.get("/livez"),
        ("GET /readyz", "ready"): client.get("/readyz"),
        ("GET /v2/health/live", "alive"): client.get("/v2/health/live"),
        ("GET /v2/health/ready", "ready"): client.get("/v2/health/ready"),
        ("GET /info", "info"): client.get("/info"),
    }
    shown = {
        (name, example): value
        for name, status, _, content in answers(description)
        for example, value in examples(content).items()
        if status == "200"
    }
    assert {which for which in shown if "/v1/" not in which[0] and "/oauth/" not in which[0]} == set(given)
    for which, response in given.items():
        assert response.status_code == 200
        assert paths(shown[which]) == paths(response.json()), which


@pytest.mark.parametrize(
    ("code", "target", "request_"),
    [
        ("not_an_image", "/classify", {"content": b"no photo", "headers": {"content-type": "image/jpeg"}}),
        ("empty_body", "/classify", {"files": {"file": b""}}),
        ("bad_json", "/classify", {"content": b"{", "headers": {"content-type": "application/json"}}),
        ("unsupported_media_type", "/classify", {"content": b"x", "headers": {"content-type": "video/mp4"}}),
        ("invalid_top_k", "/classify?top_k=0", {"files": {"file": b"x"}}),
        ("invalid_parameter", "/classify?receipt=yes", {"files": {"file": b"x"}}),
        ("cannot_decrypt", "/classify", {"content": b"x", "headers": {"content-type": "text/plain"}}),
        ("cross_origin", "/classify", {"files": {"file": b"x"}, "headers": {"origin": "https://other.example"}}),
        ("unknown_host", "/classify", {"files": {"file": b"x"}, "headers": {"host": "other.example"}}),
    ],
)
def test_examples_of_problems_look_like_what_is_answered(
    tiny_stack: Stack, description: dict[str, Any], *, code: str, target: str, request_: dict[str, Any]
) -> None:
    answered = tiny_stack.client.post(target, **request_)
    responses = description["paths"]["/classify"]["post"]["responses"]
    shown = examples(responses[str(answered.status_code)]["content"]["application/problem+json"])[code]
    assert paths(shown) == paths(answered.json())
    fixed = ("type", "title", "status", "code", "retryable")
    assert {name: shown[name] for name in fixed} == {name: answered.json()[name] for name in fixed}


def test_limits_are_whole_numbers(tiny_stack: Stack) -> None:
    assert '"max_image_bytes":20971520,' in tiny_stack.client.get("/info").text


def test_every_scheme_that_is_required_is_described(tiny_stack: Stack, tmp_path: Path) -> None:
    """Of a gateway that has API tokens and is a Cape host, too."""
    tokens = tmp_path / "tokens"
    create("alice", tokens)
    cape = {"database": f"sqlite:///{tmp_path / 'cape.sqlite'}", "bundles": tmp_path / "bundles"}
    with tiny_stack.another_gateway(tokens_file=tokens, **cape) as gateway:
        described = gateway.client.get("/openapi.json").json()
    required = {
        scheme for _, operation in operations(described) for each in operation.get("security", []) for scheme in each
    }
    assert required == {"cape", "token"}
    assert set(described["components"]["securitySchemes"]) == required

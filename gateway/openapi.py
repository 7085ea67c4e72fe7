"""Completion of the OpenAPI description: problems, examples, the model's classes, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.problems import MEDIA_TYPE
from gateway.api import examples
from gateway.api.openapi import BODIES
from gateway.api.shapes import ProblemDetails
from gateway.cape import examples as cape_examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI

    from gateway.services import Services

DESCRIPTION: Final = """\
Send a photo to `POST /classify`; get its most likely classes. The gateway seals it to an enclave whose evidence it has
verified; to leave the gateway out, verify and seal yourself: [the page](./) and `blindsight classify --sealed` do.

A refusal is a problem document (RFC 9457, `application/problem+json`) whose `code` is stable and
[explained](problems); `retryable` says whether the same request may succeed later.
"""

_TAGS: Final = {
    "classify": "A photo in, its classes out.",
    "sealed": "The same for callers who seal their photos themselves (Oblivious HTTP, RFC 9458).",
    "evidence": "What the enclave runs, attested.",
    "operations": "Probes, and what this service is.",
    "cape": "The endpoints of Cape's protocol that are HTTP; functions run over its WebSockets.",
}

_FRAMEWORKS_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
"""FastAPI declares every `model` with the route's own media type; problems have another one."""

_ANSWERS: Final = {**examples.ANSWERS, **cape_examples.ANSWERS}


def describe(app: FastAPI, services: Services) -> None:
    """Correct FastAPI's generated schema."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        components = schema.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas |= {"ProblemDetails": ProblemDetails.model_json_schema(), **BODIES}
        if services.tokens is not None:
            components.setdefault("securitySchemes", {})["token"] = {"type": "http", "scheme": "bearer"}
        operations = [(path, one) for path, methods in schema["paths"].items() for one in methods.values()]
        for path, operation in operations:
            _correct(operation, services, classifies=path.startswith(("/classify", "/ohttp")))
            _exemplify(operation, schemas)
        used = set(_referred(schema["paths"], schemas))
        components["schemas"] = {name: schemas[name] for name in sorted(used)}
        tags = {tag for _, operation in operations for tag in operation["tags"]}
        schema["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items() if name in tags]
        root = services.settings.root_path
        return {**_shown_under(root, schema), "servers": [{"url": root}]} if root else schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _shown_under(root: str, node: Any) -> Any:  # noqa: ANN401 -- any part of the description
    """`node` with the links to the problems page corrected in its examples."""
    if isinstance(node, dict):
        return {key: _shown_under(root, value) for key, value in node.items()}
    if isinstance(node, list):
        return [_shown_under(root, value) for value in node]
    return f"{root}{node}" if isinstance(node, str) and node.startswith("/problems#") else node


def _correct(operation: dict[str, Any], services: Services, *, classifies: bool) -> None:
    # FastAPI documents its own validation error; ours answers in its place, and only where there are parameters.
    documented = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in documented and MEDIA_TYPE not in documented:
        del operation["responses"]["422"]
    for response in operation["responses"].values():
        content = response.get("content", {})
        for media_type in [name for name, value in content.items() if value == _FRAMEWORKS_PROBLEM]:
            del content[media_type]
    if classifies:
        known = services.fleet.known
        for parameter in operation.get("parameters", []):
            if known and parameter["name"] == "top_k":
                parameter["schema"]["maximum"] = known.classes
                parameter["schema"]["default"] = min(parameter["schema"]["default"], known.classes)
        if services.tokens is not None:
            operation["security"] = [{"token": []}]


def _exemplify(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Add descriptions and examples of the answers."""
    shown = _ANSWERS.get(operation["operationId"], {})
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json")
        if status.startswith("2") and content:
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            response["description"] = schemas[name]["description"] if name else operation["summary"]
            content["examples"] = {
                name: {"summary": summary, "value": value} for name, (summary, value) in shown.items()
            }


def _referred(node: object, schemas: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names of the schemas that `node` uses, directly and indirectly."""
    if isinstance(node, list):
        for item in node:
            yield from _referred(item, schemas, seen)
    elif isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            yield name
            yield from _referred(schemas[name], schemas, seen | {name})
        for value in node.values():
            yield from _referred(value, schemas, seen)

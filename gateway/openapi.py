"""The API's description (OpenAPI), as true as the answers: problems, the classes that the model has, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.api.shapes import ProblemDocument

if TYPE_CHECKING:
    from fastapi import FastAPI

    from gateway.services import Services

_FRAMEWORKS_PROBLEM = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
"""FastAPI takes every `model` for JSON, which our problems are by another name."""


def describe(app: FastAPI, services: Services) -> None:
    """Correct the schema that FastAPI generates where it would not be true."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemDocument"] = ProblemDocument.model_json_schema()
        if services.tokens is not None:
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                _correct(operation, services, classifies=path.startswith(("/classify", "/ohttp")))
        root = services.settings.root_path
        if root:
            schema["servers"] = [{"url": root}]
            _put_under(root, schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _put_under(root: str, node: Any) -> None:  # noqa: ANN401 -- any part of the description
    """Have the examples of problems name the page that is there."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in list(items):
        if isinstance(item, str) and item.startswith("/problems#"):
            node[key] = f"{root}{item}"
        else:
            _put_under(root, item)


def _correct(operation: dict[str, Any], services: Services, *, classifies: bool) -> None:
    # FastAPI documents its own validation error; ours answers in its place, and only where there are parameters.
    documented = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in documented and "application/problem+json" not in documented:
        del operation["responses"]["422"]
    for response in operation["responses"].values():
        content = response.get("content", {})
        if content.get("application/json") == _FRAMEWORKS_PROBLEM:
            del content["application/json"]
    if classifies:
        known = services.enclave.known
        for parameter in operation.get("parameters", []):
            if known and parameter["name"] == "top_k":
                parameter["schema"]["maximum"] = known.classes
                parameter["schema"]["default"] = min(parameter["schema"]["default"], known.classes)
        if services.tokens is not None:
            operation["security"] = [{"token": []}]

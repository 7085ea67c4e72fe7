"""The HTTP API's reference, from the OpenAPI description that the gateway generates."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from blindsight.problems import MEDIA_TYPE
from gateway.app import create_app
from gateway.settings import Settings
from gateway.tokens import create
from site_build.environment import neutral
from site_build.markdown import cell, code, fenced, table

_POLICY: Final = {
    "schema": "blindsight-policy/2",
    "releases": [{"kind": "nitro", "any_code": True, "any_function": True}],
}
"""The description does not depend on it."""

_REQUIRES: Final = {"token": "Requires an API token.", "cape": "Requires a token of the account (Cape)."}
"""Sentences for the schemes of security."""

_HEAD: Final = """\
# HTTP API

[The OpenAPI description](openapi.json) as a file. A gateway serves its own at `/openapi.json`, and shows it at `/docs`.
Operations of Cape's protocol exist only if the gateway is a Cape host. Operations that require
an API token require `Authorization: Bearer bs_…` if the gateway has API tokens.

"""


def description() -> dict[str, Any]:
    """The OpenAPI description of a gateway with API tokens that is a Cape host."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy, tokens = folder / "policy.json", folder / "tokens"
        policy.write_text(json.dumps(_POLICY), encoding="utf-8")
        create("reference", tokens)
        with neutral():
            settings = Settings(
                _env_file=None,
                policy=policy,
                tokens_file=tokens,
                database=f"sqlite:///{folder / 'cape.sqlite'}",
                bundles=str(folder / "bundles"),
            )
            described: dict[str, Any] = create_app(settings).openapi()
    return described


def write(folder: Path) -> None:
    """Write the page, and the description beside it."""
    described = description()
    page = folder / "reference" / "http.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    (page.parent / "openapi.json").write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
    parts = [_HEAD]
    for tag in described["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n\n")
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    parts.append(_operation(method.upper(), path, operation))
    parts.append("## Schemas\n\n")
    parts += [_schema(name, schema) for name, schema in described["components"]["schemas"].items()]
    page.write_text("".join(parts), encoding="utf-8")


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = [
        (code(each["name"]), each["in"], _type(each["schema"]), cell(each.get("description", "")))
        for each in operation.get("parameters", [])
    ]
    bodies = [
        (code(media_type), _type(content.get("schema", {})))
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    answers = [
        (status, ", ".join(map(code, response.get("content", {}))), cell(response.get("description", "")))
        for status, response in operation["responses"].items()
    ]
    described = operation.get("description", "")
    schemes = [scheme for each in operation.get("security", ()) for scheme in each]
    secured = "".join(f"{_REQUIRES[scheme]}\n\n" for scheme in schemes)
    return (
        f"### {method} {path}\n\n{operation['summary']}.\n\n".replace("..", ".")
        + (f"{described}\n\n" if described else "")
        + secured
        + table(("parameter", "in", "type", "meaning"), parameters)
        + table(("body", "type"), bodies)
        + table(("status", "media type", "meaning"), answers)
        + _example(operation)
    )


def _example(operation: dict[str, Any]) -> str:
    """The first example of a successful answer."""
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if status.startswith("2") and media_type != MEDIA_TYPE:
                for example in content.get("examples", {}).values():
                    text = json.dumps(example["value"], indent=2, ensure_ascii=False)
                    return f"An answer with status {status}:\n\n{fenced(text, 'json')}"
    return ""


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (code(member), _type(each), "yes" if member in required else "no", cell(each.get("description", "")))
        for member, each in schema.get("properties", {}).items()
    ]
    described = schema.get("description", "")
    kind = "" if rows else f"{_type(schema)}\n\n"
    return (
        f"### {name}\n\n"
        + (f"{described}\n\n" if described else "")
        + (table(("member", "type", "required", "meaning"), rows) or kind)
    )


def _type(schema: dict[str, Any]) -> str:
    """A schema in few words; a named one as a link to its section."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if "enum" in schema or "const" in schema:
        return ", ".join(code(json.dumps(each)) for each in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if schema.get("format") == "binary":
        return "bytes"
    limits = [
        f"{words} {json.dumps(schema[key])}"
        for key, words in (("minimum", "at least"), ("maximum", "at most"), ("default", "default"))
        if key in schema
    ]
    return ", ".join([" or ".join(kind) if isinstance(kind, list) else str(kind), *limits])

"""Additions to the OpenAPI description: the alternative bodies of a route, examples, and every documented problem."""

from __future__ import annotations

from typing import Any

from blindsight.problems import CATALOGUE, MEDIA_TYPE
from blindsight.sealing import ohttp
from gateway.api import examples
from gateway.api.shapes import ProblemDetails

BINARY = {"schema": {"type": "string", "format": "binary"}}

SEALED_ANSWER = {ohttp.RESPONSE_MEDIA_TYPE: BINARY}

OHTTP: dict[str, Any] = {"requestBody": {"required": True, "content": {ohttp.REQUEST_MEDIA_TYPE: BINARY}}}

_TOP_K: dict[str, Any] = {
    "name": "top_k",
    "in": "query",
    "required": False,
    "description": "How many classes to return, best first.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 5},
}

_RECEIPT: dict[str, Any] = {
    "name": "receipt",
    "in": "query",
    "required": False,
    "description": "Answer with a receipt that the enclave signed, and the evidence to verify it by.",
    "schema": {"type": "boolean", "default": False},
}


def _in_body(parameter: dict[str, Any]) -> dict[str, Any]:
    """The parameter's schema without its default, which generated clients would send in addition to the query's
    value.
    """
    schema = {name: value for name, value in parameter["schema"].items() if name != "default"}
    return {**schema, "description": "As in the query; if it is in both, the same."}


_PARAMETERS = {parameter["name"]: _in_body(parameter) for parameter in (_TOP_K, _RECEIPT)}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _in_json(name: str, schema: dict[str, Any], other: str) -> dict[str, Any]:
    """An object with the member `name`. Null counts as absent for other members."""
    optional = {name: _nullable(parameter) for name, parameter in _PARAMETERS.items()}
    return {
        "type": "object",
        "required": [name],
        "properties": {name: {"type": "string", **schema}, other: {"type": "null"}, **optional},
        "additionalProperties": False,
    }


BODIES: dict[str, Any] = {
    # What else a form may have is said in words only. A field `image` would take a `oneOf`, which no generator makes a
    # usable form of; and Swagger UI sends every field that it knows, so that parameters would contradict the query's.
    "ImageForm": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "JPEG, PNG or WebP. A field `image` is as good; so are fields `top_k` and `receipt`.",
            },
        },
    },
    "ImagesForm": {
        "type": "object",
        "required": ["files"],
        "properties": {
            # `format: binary` is what Swagger UI shows a file picker for (swagger-ui issue 10825).
            "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
        },
    },
    "EncodedImage": _in_json(
        "image",
        {
            "format": "byte",
            "description": "Base64 of either alphabet, with or without line breaks and padding; or a data URL.",
        },
        "ciphertext",
    ),
    "CapeCiphertext": _in_json(
        "ciphertext", {"pattern": "^cape:", "description": "Ciphertext of any Cape client."}, "image"
    ),
}
"""Schemas of bodies, with the names that client generators use."""


def _named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


# A 1 x 1 grey PNG: small enough to read, real enough to be tried from the page.
_TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

CLASSIFY: dict[str, Any] = {
    "parameters": [_TOP_K, _RECEIPT],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _named("ImageForm")},
            "image/jpeg": BINARY,
            "image/png": BINARY,
            "image/webp": BINARY,
            "image/*": BINARY,
            "application/octet-stream": BINARY,
            "binary/octet-stream": BINARY,
            ohttp.REQUEST_MEDIA_TYPE: BINARY,
            "text/plain": {
                "schema": {"type": "string", "pattern": "^cape:", "description": "Ciphertext of any Cape client."}
            },
            "application/json": {
                "schema": {"oneOf": [_named("EncodedImage"), _named("CapeCiphertext")]},
                "examples": {"tiny": {"summary": "A one-pixel PNG", "value": {"image": _TINY_PNG}}},
            },
        },
    },
}

BATCH: dict[str, Any] = {
    "parameters": [_TOP_K],
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _named("ImagesForm")}},
    },
}


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` entries for the problems `codes`: one for each status, with an example of each."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {status: _response(status, found) for status, found in sorted(by_status.items())}


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    refusals = {code: examples.refusal(code) for code in codes}
    response: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {_within(CATALOGUE[code].title)}" for code in codes),
        "model": ProblemDetails,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "examples": refusals}},
    }
    if status == 429 or any(CATALOGUE[code].retry for code in codes):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status == 429:
        response["headers"] |= {name: {"schema": {"type": "string"}} for name in ("RateLimit", "RateLimit-Policy")}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


def _within(title: str) -> str:
    """The title within a sentence."""
    return title[0].lower() + title[1:]

"""What OpenAPI cannot infer: the body forms on one route, examples for each, and every documented problem."""

from __future__ import annotations

from typing import Any

from blindsight.problems import CATALOGUE, MEDIA_TYPE
from blindsight.sealing import ohttp
from gateway.api.shapes import ProblemDocument

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

_PARAMETERS = {
    "top_k": {**_TOP_K["schema"], "description": "As in the query; if it is in both, the same."},
    "receipt": {**_RECEIPT["schema"], "description": "As in the query; if it is in both, the same."},
}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _instead_of(name: str, other: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string"}, other: {"type": "null"}}}


# A 1 x 1 grey PNG: small enough to read, real enough to be tried from the page.
_TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

CLASSIFY: dict[str, Any] = {
    "parameters": [_TOP_K, _RECEIPT],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP."},
                        "image": {"type": "string", "format": "binary", "description": "Instead of `file`."},
                        **_PARAMETERS,
                    },
                    "oneOf": [{"required": ["file"]}, {"required": ["image"]}],
                    "additionalProperties": False,
                }
            },
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
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {
                            "type": ["string", "null"],
                            "format": "byte",
                            "description": "Base64 of either alphabet, with or without line breaks and padding; or a"
                            " data URL.",
                        },
                        "ciphertext": {
                            "type": ["string", "null"],
                            "pattern": "^cape:",
                            "description": "Instead of an image.",
                        },
                        **{name: _nullable(schema) for name, schema in _PARAMETERS.items()},
                    },
                    # Null is as if the member was not there.
                    "oneOf": [_instead_of("image", "ciphertext"), _instead_of("ciphertext", "image")],
                    "additionalProperties": False,
                },
                "examples": {"tiny": {"summary": "A one-pixel PNG", "value": {"image": _TINY_PNG}}},
            },
        },
    },
}

BATCH: dict[str, Any] = {
    "parameters": [_TOP_K],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        # `format: binary` is what Swagger UI shows a file picker for (swagger-ui issue 10825).
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
                        "top_k": _PARAMETERS["top_k"],
                    },
                    "required": ["files"],
                }
            }
        },
    },
}


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` entries of a route that may answer with the problems `codes`: one per status, an example each."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {status: _response(status, found) for status, found in sorted(by_status.items())}


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    examples = {code: {"summary": CATALOGUE[code].title, "value": _example(code)} for code in codes}
    response: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {CATALOGUE[code].title.lower()}" for code in codes),
        "model": ProblemDocument,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "examples": examples}},
    }
    if status == 503:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


def _example(code: str) -> dict[str, Any]:
    kind = CATALOGUE[code]
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": "What exactly, and what to do.",
        "code": code,
        "retryable": kind.retry,
        "instance": "urn:uuid:0190a1b2-0000-7000-8000-000000000000",
    }

"""A function's request is read without parsing what is long in it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from enclave_runtime.cape import rpcrequest
from enclave_runtime.cape.rpcrequest import parse

LONG = base64.b64encode(bytes(7 << 20)).decode()
SMALL_BYTES = 16 * 1024 + 64


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of what is given to the JSON parser, which holds up everything for as long as that takes."""
    lengths: list[int] = []
    genuine = rpcrequest.strict_json.loads

    def loads(encoded: bytes) -> Any:
        lengths.append(len(encoded))
        return genuine(encoded)

    monkeypatch.setattr(rpcrequest.strict_json, "loads", loads)
    return lengths


def request(value: str, **members: Any) -> dict[str, Any]:
    return {"id": 1, "method": "CapeEncryptRPC.Encrypt", "params": [value], **members}


@pytest.mark.parametrize("value", ["", "QQ==", "cape:QQ==", LONG, "cape:" + LONG])
@pytest.mark.parametrize("form", [{}, {"separators": (",", ":")}, {"indent": 4}, {"sort_keys": True}])
def test_requests_of_any_length_are_read(parsed: list[int], value: str, form: dict[str, Any]) -> None:
    found = parse(bytearray(json.dumps(request(value), **form).encode()))
    assert found is not None
    (text,) = found.pop("params")
    assert (text if isinstance(text, str) else bytes(text).decode()) == value
    assert found == {"id": 1, "method": "CapeEncryptRPC.Encrypt"}
    assert max(parsed) <= SMALL_BYTES


@pytest.mark.parametrize(
    "sent",
    [
        b'{"id": 1, "x": [' + b"1," * 3_000_000 + b"1]}",
        b'{"id": 1, "x": [' + b'"1",' * 3_000_000 + b'"1"]}',
        b'{"id": 1, "x": ' + b"[" * 3_000_000 + b"]" * 3_000_000 + b"}",
        b'{"id": 1, "x": ' + b"1" * 3_000_000 + b"}",
        b'{"id": 1' + b" " * 3_000_000 + b"}",
        b'{"a": "' + b"x" * 1_000_000 + b'", "params": ["' + b"x" * 1_000_000 + b'"]}',
        json.dumps(request("\\" * 100_000)).encode(),
        json.dumps(request(LONG)).encode()[:-1],
        b'"' * 3_000_000 + b"}",
    ],
    ids=lambda sent: f"{len(sent)}-{sent[-12:].decode()}",
)
def test_what_is_long_in_another_way_is_none(parsed: list[int], sent: bytes) -> None:
    assert parse(bytearray(sent)) is None
    assert max(parsed, default=0) <= SMALL_BYTES


def test_the_placeholder_is_no_secret_that_matters() -> None:
    """A request that has it as its text gets it as its text."""
    for other in ({}, {"x": LONG}):
        found = parse(bytearray(json.dumps(request("the long text", **other)).encode()))
        assert found is None or found["params"] == ["the long text"] or bytes(found["params"][0]) == LONG.encode()


@pytest.mark.parametrize(
    "sent",
    [
        b'{"id": 1, "method": "%s", "params": ["QQ=="]}',
        b'{"id": 1, "method": "x", "params": ["QQ=="], "%s": 1}',
        b'{"id": "%s", "method": "x", "params": ["QQ=="]}',
        b'{"id": 1, "method": "x", "params": ["QQ==", "%s"]}',
        b'{"id": 1, "method": "x", "params": {"0": "%s"}}',
    ],
)
def test_a_long_text_that_is_no_parameter_is_not_read_as_another(sent: bytes) -> None:
    """What is not parsed may hold what JSON does not: a control character here."""
    assert parse(bytearray(sent % (b"A" * SMALL_BYTES + b"\n"))) is None

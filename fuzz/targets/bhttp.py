"""Harness for binary HTTP messages (RFC 9292): requests and responses, of known and indeterminate length."""

from __future__ import annotations

from blindsight.errors import SealingError
from blindsight.sealing import bhttp
from fuzz.target import Target


def run(data: bytes) -> None:
    """Check that bytes and views decode alike, and that accepted messages are the same after encoding and decoding."""
    for decode, message in ((_request, "request"), (_response, "response")):
        try:
            found = decode(data)
        except SealingError as error:
            assert error.code == "malformed_message", message
        else:
            assert decode(found.encode()) == found, message
            assert len(found.content) <= len(data), message
            return
    bhttp.decode_response(data)


def _request(data: bytes) -> bhttp.Request:
    found, viewed = bhttp.decode_request(data), bhttp.decode_request(memoryview(data))
    assert found == viewed
    assert found.header("date") == viewed.header("date")
    return found


def _response(data: bytes) -> bhttp.Response:
    found = bhttp.decode_response(data)
    assert 200 <= found.status <= 599
    return found


def seeds() -> dict[str, bytes]:
    """Messages as Blindsight writes them, and other forms that it accepts."""
    fields = [("date", "Sun, 01 Nov 2026 12:00:00 GMT"), ("content-type", "image/png")]
    request = bhttp.Request("POST", "/classify?top_k=5", fields, b"content")
    response = bhttp.Response(200, [("content-type", "application/json")], b'{"predictions": []}')
    control = b"\x04POST\x05https\x00\x09/classify"
    return {
        "request": request.encode(),
        "padded": request.encode() + bytes(40),
        "response": response.encode(),
        "short-request": b"\x00" + control,
        "indeterminate-request": b"\x02" + control + b"\x04date\x01x\x00\x03abc\x02de\x00\x00",
        "indeterminate-response": b"\x03\x40\xc8\x04date\x01x\x00\x03abc\x00\x07trailer\x01x\x00\x00\x00",
        "informational": b"\x01\x40\x66\x07\x04link\x01x" + response.encode()[1:],
        "long-varints": b"\xc0" + bytes(7) + b"\x04POST\x05https\x00\x80\x00\x00\x09/classify",
    }


TARGET = Target(run, (SealingError,), seeds, max_bytes=3000, words=(b"POST", b"https", b"/classify", b"content-type"))

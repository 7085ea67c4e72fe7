"""Harness for the bodies from which the gateway takes images: forms, raw bodies, JSON, ciphertexts.

The first byte selects the media type (modulo 8) and the content coding (the next two bits); the second byte is the size
of the pieces in which the body arrives.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from typing import TYPE_CHECKING

from starlette.requests import Request

from blindsight.problems import Problem
from fuzz import driving
from fuzz.target import Target
from gateway.api import body

if TYPE_CHECKING:
    from starlette.types import Message

_LIMIT = 600
_TYPES = (
    b"multipart/form-data; boundary=b", b"multipart/form-data; boundary=b", b"multipart/form-data", b"application/json",
    b"image/png", b"text/plain; charset=utf-8", b"message/ohttp-req",
    b'multipart/form-data; boundary="b b"; charset=x',
)  # fmt: skip
_CODINGS = (b"", b"gzip", b"deflate", b"br")


# As in the gateway: the library would log what it refuses.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def run(data: bytes) -> None:
    """Check that the outcome is an image within the limit, or a problem with a 4xx status."""
    kind, step, content = (data[0] % 8, data[1] or 1, data[2:]) if len(data) > 1 else (0, 1, b"")
    request = _request(_TYPES[kind], _CODINGS[data[0] // 8 % 4] if data else b"", content, step)
    try:
        driving.finished(_read(kind, request))
    except Problem as problem:
        assert problem.kind.status < 500
        raise


async def _read(kind: int, request: Request) -> None:
    if kind == 1:
        images, given = await body.read_images(request, limit=_LIMIT, most=3, total=2 * _LIMIT, seconds=60)
        assert 0 < len(images) <= 3
        assert set(given.values) <= {"top_k"}
        assert all(isinstance(image, Problem) or 0 < len(image) <= _LIMIT for image in images)
    elif kind == 6:
        assert len(await body.read_sealed(request, limit=_LIMIT, seconds=60)) <= 1 << 16
    else:
        upload = await body.read_image(request, limit=_LIMIT, seconds=60)
        image = upload.image
        assert image
        assert set(upload.given.values) <= {"top_k", "receipt"}
        assert image.startswith(b"cape:") or len(image) <= _LIMIT


def _request(media_type: bytes, coding: bytes, content: bytes, step: int) -> Request:
    pieces = [content[start : start + step] for start in range(0, len(content), step)]

    async def receive() -> Message:
        piece = pieces.pop(0) if pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    headers = [(b"content-type", media_type), (b"content-encoding", coding)]
    scope = {"type": "http", "method": "POST", "path": "/classify", "headers": headers}
    return Request(scope, receive)


def seeds() -> dict[str, bytes]:
    """A body of each media type, truncated forms, and unusual ones."""
    part = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\nContent-Type: image/png\r\n\r\nimage\r\n'
    field = b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n5\r\n'
    encoded = b"--b\r\nContent-Disposition: form-data; name*=utf-8''file; filename*=x\r\n\r\nimage\r\n"
    return {
        "form": b"\x00\xff" + field + part % b"file" + b"--b--\r\n",
        "form-in-pieces": b"\x00\x03" + part % b"file" + b"--b--\r\n",
        "batch": b"\x01\xff" + part % b"files" + part % b"files" + b"--b--\r\n",
        "cut": b"\x00\xff" + part % b"file",
        "encoded": b"\x00\xff" + encoded + b"--b--\r\n",
        "no-boundary": b"\x02\xff" + part % b"file" + b"--b--\r\n",
        "json": b'\x03\xff{"image": "QUJD"}',
        "json-ciphertext": b'\x03\xff{"ciphertext": "cape:QUJD"}',
        "json-long": b'\x03\xff{"image": "' + b"QUJD" * 300 + b'"}',
        "json-data-url": b'\x03\xff{"image": "data:image/png;base64,QU\\nI-", "top_k": 3}',
        "image": b"\x04\xffimage",
        "gzip": b"\x0c\x05" + gzip.compress(b"image", mtime=0),
        "deflate": b"\x14\x05" + zlib.compress(b"image"),
        "text": b"\x05\xffcape:QUJD",
        "sealed": b"\x06\xffsealed",
    }


TARGET = Target(
    run, (Problem,), seeds, max_bytes=3000, base_bytes=1 << 20,
    words=(
        b"--b\r\n", b"--b--\r\n", b"Content-Disposition: form-data; ", b'name="file"', b'filename="', b"filename*=",
        b"Content-Transfer-Encoding: base64\r\n", b'"image"', b'"ciphertext"', b"\\ud800",
    ),
)  # fmt: skip

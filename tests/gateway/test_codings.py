"""`Content-Encoding`: gzip and deflate are opened, within the limits of what they hold; others are refused."""

from __future__ import annotations

import base64
import gzip
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import images
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2

    from tests.gateway.conftest import Front
    from tests.support.processes import Gateway
    from tests.support.stack import Stack

CLASS = 439
PHOTO = images.noisy(CLASS)
LIMIT = 20 * 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "stored": ("gzip", lambda data: gzip.compress(data, 0)),
    "x-gzip": ("x-gzip", gzip.compress),
    "capitals": ("GZip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate as some write it": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "nothing": ("", bytes),
    "gzip beside identity": ("identity, gzip", gzip.compress),
}


def bodies() -> dict[str, tuple[str, dict[str, Any]]]:
    """Path and request of each form of the image."""
    return {
        "raw": ("/classify", {"content": PHOTO, "headers": {"content-type": "image/png"}}),
        "form": ("/classify", {"files": {"file": PHOTO}}),
        "json": ("/classify", {"json": {"image": base64.b64encode(PHOTO).decode()}}),
        "batch": ("/classify/batch", {"files": [("files", PHOTO), ("files", PHOTO)]}),
    }


def sent(
    gateway: Gateway, path: str, request: dict[str, Any], coding: str, pack: Callable[[bytes], bytes]
) -> httpx2.Response:
    """The request, with its body packed."""
    built = gateway.client.build_request("POST", path, **request)
    content = pack(built.read())
    return gateway.client.post(
        path, content=content, headers={"content-type": built.headers["content-type"], "content-encoding": coding}
    )


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("form", bodies())
def test_what_is_packed_is_opened(tiny_stack: Stack, form: str, name: str) -> None:
    response = sent(tiny_stack.gateway, *bodies()[form], *CODINGS[name])
    assert response.status_code == 200, response.text
    answer = response.json()
    for result in answer.get("results", [answer]):
        assert result["predictions"][0]["class_id"] == CLASS


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "aes128gcm", CANARY, "gzip;q=1"]
)
def test_other_codings_are_refused_with_those_that_are_taken(tiny_stack: Stack, coding: str) -> None:
    """RFC 9110, 15.5.16."""
    for form in bodies().values():
        response = sent(tiny_stack.gateway, *form, coding, bytes)
        check(response, "unsupported_media_type")
        assert response.headers["accept-encoding"] == "gzip, deflate"


def test_another_type_is_not_a_matter_of_coding(tiny_stack: Stack) -> None:
    response = tiny_stack.client.post("/classify", content=PHOTO, headers={"content-type": "text/html"})
    check(response, "unsupported_media_type")
    assert "accept-encoding" not in response.headers


@pytest.mark.parametrize("path", ["/ohttp", "/classify"])
def test_a_sealed_message_has_no_coding(tiny_stack: Stack, path: str) -> None:
    """It would be another message to a reader that compares the bytes."""
    headers = {"content-type": "message/ohttp-req", "content-encoding": "gzip"}
    response = tiny_stack.client.post(path, content=gzip.compress(bytes(100)), headers=headers)
    check(response, "unsupported_media_type")
    assert response.headers["accept-encoding"] == "identity"


BROKEN: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "not packed": ("gzip", bytes),
    "not deflated": ("deflate", lambda _: b"\xff" * 100),
    "cut": ("gzip", lambda data: gzip.compress(data)[:-20]),
    "cut in its head": ("gzip", lambda data: gzip.compress(data)[:5]),
    "empty": ("gzip", lambda _: b""),
    "half a deflate header": ("deflate", lambda _: b"x"),
    "wrong checksum": ("gzip", lambda data: gzip.compress(data)[:-8] + bytes(8)),
    "something behind": ("gzip", lambda data: gzip.compress(data) + CANARY.encode()),
    "another behind": ("gzip", lambda data: gzip.compress(data) * 2),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("form", bodies())
def test_what_cannot_be_opened(tiny_stack: Stack, fault: str, form: str) -> None:
    response = sent(tiny_stack.gateway, *bodies()[form], *BROKEN[fault])
    assert "Content-Encoding" in check(response, "bad_request")["detail"]


@pytest.mark.parametrize("pieces", [1, 7, 64])
def test_it_comes_in_whatever_pieces(tiny_stack: Stack, pieces: int) -> None:
    packed = gzip.compress(PHOTO)
    with Connection(tiny_stack.gateway.port) as connection:
        fields = {"content-type": "image/png", "content-encoding": "gzip", "transfer-encoding": "chunked"}
        connection.start("POST", "/classify", fields)
        size = -(-len(packed) // pieces)
        for start in range(0, len(packed), size):
            connection.send_chunk(packed[start : start + size])
        connection.send(b"0\r\n\r\n")
        assert connection.response().json()["predictions"][0]["class_id"] == CLASS


@pytest.fixture(scope="module")
def gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    with tiny_stack.another_gateway() as gateway:
        yield gateway


def peak(gateway: Gateway, body: bytes, headers: dict[str, str]) -> tuple[httpx2.Response, int]:
    """The answer, and how far the gateway's memory grew over it, in bytes."""
    process = Path("/proc") / str(gateway.pid)

    def resident(name: str) -> int:
        (line,) = (line for line in (process / "status").read_text().splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    (process / "clear_refs").write_text("5")  # The peak counts from now on; see proc(5).
    before = resident("VmRSS")
    answer = gateway.client.post("/classify", content=body, headers=headers)
    return answer, resident("VmHWM") - before


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "media_type", ["image/png", "application/json", "multipart/form-data; boundary=b", "text/plain"]
)
def test_a_bomb_is_not_unpacked(gateway: Gateway, coding: str, media_type: str) -> None:
    """A gigabyte in one megabyte: read no further than the limit, and never held."""
    start = {"application/json": b'{"image": "', "text/plain": b"cape:"}.get(media_type, b"")
    if media_type.startswith("multipart"):
        start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush, what follows refers to nothing before it, so one mebibyte stands for all.
    packed = head + 1024 * (packer.compress(b"A" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH))
    assert len(packed) < 1_100_000
    started = time.monotonic()
    answer, grown = peak(gateway, packed, {"content-type": media_type, "content-encoding": coding})
    problem = check(answer, "image_too_large")
    assert problem["limit_bytes"] == LIMIT
    assert grown < 4 * LIMIT, f"{grown / LIMIT:.1f} times the largest image"
    assert time.monotonic() - started < 10


def test_the_limit_is_of_what_is_inside(strict_gateway: Gateway) -> None:
    """And packing an image that does not get smaller by it costs nothing."""
    limit = 100_000
    photo = images.padded(CLASS, limit)
    headers = {"content-type": "image/jpeg", "content-encoding": "gzip"}
    packed = gzip.compress(photo, 0)
    assert len(packed) > limit
    assert strict_gateway.client.post("/classify", content=packed, headers=headers).status_code == 200
    packed = gzip.compress(photo + b"x")
    check(strict_gateway.client.post("/classify", content=packed, headers=headers), "image_too_large")
    packed = gzip.compress(photo, 0) + bytes(limit)
    check(strict_gateway.client.post("/classify", content=packed, headers=headers), "image_too_large")


def test_many_small_pieces_are_cheap(gateway: Gateway) -> None:
    """Blocks that hold nothing: the work is bounded by what comes over the wire."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(PHOTO) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += b"".join(packer.flush(zlib.Z_FULL_FLUSH) + b"\x00\x00\x00\xff\xff" for _ in range(400_000))
    started = time.monotonic()
    gateway.client.post("/classify", content=packed, headers={"content-type": "image/png", "content-encoding": "gzip"})
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("path", "media_type", "body", "status"),
    [
        ("/oauth/device/code", "application/x-www-form-urlencoded", b"client_id=x", 200),
        ("/oauth/token", "application/x-www-form-urlencoded", b"grant_type=x", 400),
    ],
)
def test_capes_routes_open_it_as_well(front: Front, path: str, media_type: str, body: bytes, status: int) -> None:
    def ask(coding: str, content: bytes) -> httpx2.Response:
        headers = {"content-type": media_type, "content-encoding": coding}
        return front.gateway.client.post(path, content=content, headers=headers)

    plain = front.gateway.client.post(path, content=body, headers={"content-type": media_type})
    assert plain.status_code == status
    for coding, pack in CODINGS.values():
        packed = ask(coding, pack(body))
        assert packed.status_code == status, packed.text
        assert packed.json().keys() == plain.json().keys()
    refused = ask("br", body)
    assert refused.status_code == 415
    assert refused.headers["accept-encoding"] == "gzip, deflate"
    assert "Content-Encoding" in refused.json()["error"]
    broken = ask("gzip", gzip.compress(body)[:-3])
    assert broken.status_code == 400
    assert "Content-Encoding" in broken.json()["error"]
    assert ask("gzip", gzip.compress(bytes(10_000_000))).status_code == 413

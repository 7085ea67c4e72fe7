"""Images in JSON: what the gateway reads, and what reading it may cost.

A body of the largest size may cost its own bytes, the image's, and what carries that on; not what `json` makes of it.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support import images
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

LIMIT = 20 * 1024 * 1024
"""Of an image, as it is by default."""
LONGEST = LIMIT * 4 // 3
MOST = 8 * LIMIT
"""Bytes by which the gateway may grow over one request."""


@pytest.fixture(scope="module")
def gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    with tiny_stack.another_gateway() as gateway:
        yield gateway


def peak(gateway: Gateway, body: bytes, media_type: str = "application/json") -> tuple[httpx2.Response, int]:
    """The answer to `body`, and how far the gateway's memory grew over it, in bytes."""
    process = Path("/proc") / str(gateway.pid)

    def resident(name: str) -> int:
        (line,) = (line for line in (process / "status").read_text().splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    (process / "clear_refs").write_text("5")  # The peak counts from now on; see proc(5).
    before = resident("VmRSS")
    with Connection(gateway.port, seconds=120) as connection:
        connection.start("POST", "/classify", {"content-type": media_type, "content-length": str(len(body))})
        connection.send(body)
        answer = connection.response()
    return answer, resident("VmHWM") - before


def of(text: bytes) -> bytes:
    return b'{"image": "' + text + b'"}'


def filled(piece: bytes, begin: bytes = b"", end: bytes = b"") -> bytes:
    return begin + piece * ((LONGEST - len(begin) - len(end)) // len(piece)) + end


HOSTILE = {
    "escapes": of(filled(b"\\u0041")),
    "an escape in four": of(filled(b"\\/ab")),
    "an escape in two": of(filled(b"\\/a")),
    "escaped quotes": of(filled(b'\\"')),
    "surrogate pairs": of(filled(b"\\ud83d\\ude00")),
    "one wide character": of(filled(b"a", "\U0001f600".encode())),
    "wide characters": of(filled("\U0001f600".encode())),
    "a long key": b"{" + filled(b"a", b'"', b'": 1, "image": 5}')[1:],
    "many keys": b"{" + b",".join(b'"%d":0' % number for number in range(2_000_000)) + b"}",
    "deep objects": filled(b'{"a":'),
    "deep arrays": filled(b"["),
    "many arrays": filled(b"[],", b'{"note": [', b"0]}"),
    "many numbers": filled(b"1,", b'{"note": [', b"0]}"),
    "many strings": filled(b'"a",', b'{"note": [', b'""]}'),
    "many long strings": filled(b'"' + b"a" * 70_000 + b'",', b'{"note": [', b'""]}'),
    "one long number": filled(b"1", b'{"note": ', b"}"),
    "an unfinished string": filled(b"a", b'{"image": "'),
    "blanks": filled(b" ", b"{", b"}"),
    "a long ciphertext": filled(b"\\/a", b'{"ciphertext": "cape:', b'"}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_large_body_does_not_cost_many_times_its_size(gateway: Gateway, name: str) -> None:
    answer, grown = peak(gateway, HOSTILE[name])
    assert grown < MOST, f"{grown / LIMIT:.1f} times the largest image"
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in {"bad_json", "not_an_image", "cannot_decrypt", "invalid_parameter"}


@pytest.mark.parametrize("how", ["plain", "escaped slashes", "escaped throughout"])
def test_nor_does_a_large_image(gateway: Gateway, how: str) -> None:
    photo = images.padded(89, LIMIT if how != "escaped throughout" else LIMIT // 6)
    text = base64.b64encode(photo)
    if how == "escaped slashes":
        photo = images.padded(89, LIMIT - LIMIT // 32)  # Each slash, one in 64, takes two bytes.
        text = base64.b64encode(photo).replace(b"/", b"\\/")
    elif how == "escaped throughout":
        text = b"".join(b"\\u%04x" % byte for byte in text)
    answer, grown = peak(gateway, of(text))
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["class_id"] == 89
    assert grown < MOST, f"{grown / LIMIT:.1f} times the largest image"


def test_nor_does_one_that_is_no_json(gateway: Gateway) -> None:
    """The yardstick: the same image as it is, and in a form."""
    photo = images.padded(89, LIMIT)
    with httpx2.Client() as builder:
        form = builder.build_request("POST", "http://x", files={"file": photo})
    for body, media_type in ((photo, "image/jpeg"), (form.read(), form.headers["content-type"])):
        answer, grown = peak(gateway, body, media_type)
        assert answer.json()["predictions"][0]["class_id"] == 89
        assert grown < MOST, f"{grown / LIMIT:.1f} times the largest image"


PHOTO = base64.b64encode(images.padded(97, 200_000)).decode()

GOOD = {
    "python": json.dumps({"image": PHOTO}),
    "php": json.dumps({"image": PHOTO}).replace("/", "\\/"),
    ".net": json.dumps({"image": PHOTO}).replace("+", "\\u002B"),
    "blanks": f' \r\n\t{{ "image"\n:\t"{PHOTO}" }} \n',
    "other members": json.dumps({"top_k": 5, "receipt": False, "image": PHOTO, "ciphertext": None}),
    "a line break": f'{{"image": "{PHOTO}\n"}}',
    "line breaks of base64(1)": f'{{"image": "{base64.encodebytes(images.padded(97, 200_000)).decode()}"}}',
    "short lines": f'{{"image":\r\n "{base64.encodebytes(images.plain(97)).decode()}\t\r\n"}}',
    "line breaks and escapes": f'{{"image": "{PHOTO[:70_000]}\n{PHOTO[70_000:]}"}}'.replace("/", "\\/"),
    "an escaped line break": json.dumps({"image": PHOTO + "\n"}),
    "URL-safe": json.dumps({"image": PHOTO[:-4] + "-_-_"}),
    "a letter too few": json.dumps({"image": PHOTO[:-1]}),
    "an escaped name": json.dumps({"image": PHOTO}).replace("image", "\\u0069m\\u0061ge"),
    "no large image": json.dumps({"image": base64.b64encode(images.plain(97)).decode()}),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_json_libraries_write_is_read(gateway: Gateway, name: str) -> None:
    response = gateway.client.post(
        "/classify", content=GOOD[name].encode(), headers={"content-type": "application/json; charset=utf-8"}
    )
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["class_id"] == 97


BAD = {
    "nothing": "",
    "two values": f'{{"image": "{PHOTO}"}} {{}}',
    "no end": f'{{"image": "{PHOTO}"',
    "no quote": f'{{"image": "{PHOTO}',
    "a comma too many": f'{{"image": "{PHOTO}",}}',
    "no colon": f'{{"image" "{PHOTO}"}}',
    "single quotes": f"{{'image': '{PHOTO}'}}",
    "in an array": f'["image", "{PHOTO}"]',
    "in a member": f'{{"photo": {{"image": "{PHOTO}"}}}}',
    "only a string": f'"{PHOTO}"',
    "a name": f'{{"{PHOTO}": "image"}}',
    "image and ciphertext": f'{{"image": "{PHOTO}", "ciphertext": "cape:x"}}',
    "image and long ciphertext": f'{{"image": "{PHOTO}", "ciphertext": "cape:{PHOTO}"}}',
    "an escape that is none": f'{{"image": "{PHOTO}\\x41"}}',
    "half an escape": f'{{"image": "{PHOTO}\\u00"}}',
    "no base64": f'{{"image": "{PHOTO}!"}}',
    "an escape of none": f'{{"image": "{PHOTO}\\u0021"}}',
    "an escaped quote": f'{{"image": "{PHOTO}\\""}}',
    "two letters too few": f'{{"image": "{PHOTO.rstrip("=")[:-2]}"}}',
    "padding inside": f'{{"image": "AA=={PHOTO}"}}',
    "a wide letter": f'{{"image": "{PHOTO}\u0101"}}',
    "NUL": f'{{"image": "{PHOTO}\\u0000"}}',
    "not a number": '{"image": NaN}',
    "UTF-16": "",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_such_json_is_refused(gateway: Gateway, name: str) -> None:
    body = GOOD["python"].encode("utf-16") if name == "UTF-16" else BAD[name].encode()
    headers = {"content-type": "application/json", "x-note": CANARY}
    check(gateway.client.post("/classify", content=body, headers=headers), "bad_json")


@pytest.mark.parametrize("cut", range(64_500, 66_600, 37))
def test_escapes_are_read_wherever_they_stand(gateway: Gateway, cut: int) -> None:
    """Long texts are read in windows; an escape may lie across the end of one."""
    photo = images.padded(101, 150_000)
    text = base64.b64encode(photo).decode()
    escaped = text[:cut] + "".join(f"\\u{ord(letter):04X}" for letter in text[cut : cut + 8]) + text[cut + 8 :]
    response = gateway.client.post(
        "/classify", content=f'{{"image": "{escaped}"}}', headers={"content-type": "application/json"}
    )
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["class_id"] == 101

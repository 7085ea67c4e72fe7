"""Base64 in JSON as programs write it: data URLs, line breaks, the other alphabet, no padding; and what is none."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.problems import CANARY, check

if TYPE_CHECKING:
    import httpx2

    from tests.support.stack import Stack

CLASS = 219
SHORT = images.plain(CLASS)
"""Its base64 is short enough for an ordinary text of JSON."""
LONG = images.padded(CLASS, 60_001)
LENGTHS = {len(photo) % 3: photo for photo in (images.padded(CLASS, 60_000 + rest) for rest in range(3))}


def ask(stack: Stack, text: str) -> httpx2.Response:
    return stack.client.post("/classify", json={"image": text})


def wrapped(text: str, width: int, end: str) -> str:
    return end.join(text[start : start + width] for start in range(0, len(text), width))


def url_safe(photo: bytes) -> str:
    return base64.urlsafe_b64encode(photo).decode()


SPELLINGS = {
    "as it is": lambda photo: base64.b64encode(photo).decode(),
    "MIME": lambda photo: base64.encodebytes(photo).decode(),
    "MIME with CRLF": lambda photo: wrapped(base64.b64encode(photo).decode(), 76, "\r\n") + "\r\n",
    "openssl": lambda photo: wrapped(base64.b64encode(photo).decode(), 64, "\n"),
    "tabs and lines": lambda photo: "\n" + wrapped(base64.b64encode(photo).decode(), 60, "\n\t") + "\n",
    "blanks around": lambda photo: f"  {base64.b64encode(photo).decode()} \n",
    "URL-safe": url_safe,
    "URL-safe without padding": lambda photo: url_safe(photo).rstrip("="),
    "without padding": lambda photo: base64.b64encode(photo).decode().rstrip("="),
    "data URL": lambda photo: "data:image/png;base64," + base64.b64encode(photo).decode(),
    "data URL of another type": lambda photo: "data:image/jpeg;base64," + base64.b64encode(photo).decode(),
    "data URL of bytes": lambda photo: "data:application/octet-stream;base64," + base64.b64encode(photo).decode(),
    "data URL without type": lambda photo: "data:;base64," + base64.b64encode(photo).decode(),
    "data URL in capitals": lambda photo: "DATA:IMAGE/PNG;BASE64," + base64.b64encode(photo).decode(),
    "data URL with parameters": lambda photo: "data:image/png;name=a.png;charset=utf-8;base64," + url_safe(photo),
    "data URL and lines": lambda photo: "data:image/png;base64,\n" + base64.encodebytes(photo).decode().rstrip("=\n"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("photo", [SHORT, *LENGTHS.values()], ids=["short", *map(str, LENGTHS)])
def test_what_programs_write_is_read(tiny_stack: Stack, spelling: str, photo: bytes) -> None:
    response = ask(tiny_stack, SPELLINGS[spelling](photo))
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["class_id"] == CLASS


def test_both_alphabets_stand_for_the_same_bytes(tiny_stack: Stack) -> None:
    """The tensor is one whose base64 has `+` and `/`, and one of its values is changed by each."""
    tensor = images.tensor(CLASS)
    standard = base64.b64encode(tensor).decode()
    assert {"+", "/"} <= set(standard)
    answers = [ask(tiny_stack, text).json() for text in (standard, url_safe(tensor))]
    assert answers[0]["predictions"] == answers[1]["predictions"]


def bad(photo: bytes) -> dict[str, tuple[str, str, int | None]]:
    """Text, what is said of it, and the position of the first fault, from 1."""
    text = base64.b64encode(photo).decode()
    half = len(text) // 8 * 4
    return {
        "no base64": (text[:half] + "!" + text[half:], "punctuation", half + 1),
        "percent-encoded": (text[:half] + "%2B" + text[half:], "'%'", half + 1),
        "a blank": (text[:half] + " " + text[half:], "blank", half + 1),
        "a wide letter": (text[:half] + "\u0101" + text[half:], "ASCII", half + 1),
        "NUL": (text[:half] + "\0" + text[half:], "control", half + 1),
        "a quote": (text[:half] + "'" + text[half:], "punctuation", half + 1),
        "padding inside": (f"AA=={text}", "'='", 3),
        "too much padding": (f"{text[:half]}===", "'='", half + 1),
        "one letter too few": (text[:half] + "A", "length", None),
        "data URL without base64": (f"data:image/png,{text}", "base64", None),
        "data URL without comma": (f"data:image/png;base64;{text}", "comma", None),
        "a fault behind a data URL": (f"data:image/png;base64,{text[:half]}!", "punctuation", 22 + half + 1),
        "a fault behind lines": (f"{text[:4]}\r\n{text[4:half]}!", "punctuation", half + 3),
    }


@pytest.mark.parametrize("photo", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("fault", bad(SHORT))
def test_what_cannot_be_read_is_named(tiny_stack: Stack, photo: bytes, fault: str) -> None:
    text, said, position = bad(photo)[fault]
    detail = check(ask(tiny_stack, text), "bad_json")["detail"]
    assert said in detail, detail
    if position is not None:
        assert re.search(rf"\b{position}\b", detail), detail


@pytest.mark.parametrize("where", ["data URL's type", "text", "behind padding"])
def test_the_content_is_not_repeated(tiny_stack: Stack, where: str) -> None:
    texts = {
        "data URL's type": f"data:image/{CANARY};{CANARY},AAAA",
        "text": f"{CANARY}!{CANARY}",
        "behind padding": f"AA=={CANARY}",
    }
    check(ask(tiny_stack, texts[where]), "bad_json")


def test_a_data_url_of_another_type_is_refused_as_such(tiny_stack: Stack) -> None:
    text = base64.b64encode(SHORT).decode()
    for media_type in ("text/html", "application/pdf", f"text/{CANARY}"):
        check(ask(tiny_stack, f"data:{media_type};base64,{text}"), "unsupported_media_type")


@pytest.mark.parametrize("text", ["", "data:;base64,", "data:image/png;base64,\r\n", "\n", "  ", "=", "=="])
def test_nothing_is_an_empty_image(tiny_stack: Stack, text: str) -> None:
    check(ask(tiny_stack, text), "empty_body")


@pytest.mark.parametrize("piece", ["=", " ", "\n", "\t", "-", "data:", "A=", "%", "\r\n "])
def test_long_nonsense_is_cheap(tiny_stack: Stack, piece: str) -> None:
    """Time of at most a few passes over the text, whatever it repeats: half a megabyte must not take seconds."""
    body = json.dumps({"image": piece * (500_000 // len(piece))})
    started = time.monotonic()
    response = tiny_stack.client.post("/classify", content=body, headers={"content-type": "application/json"})
    assert response.json()["code"] in {"bad_json", "empty_body", "not_an_image"}
    assert time.monotonic() - started < 2


def test_the_sealed_protocols_stay_strict() -> None:
    """Two spellings of one message would be two messages to a reader that compares them."""
    import binascii

    from blindsight import strict_base64

    for text in ("QUJD\n", "QUI", "data:;base64,QUJD", "-_-_", "QUJD=", "QUJD===="):
        with pytest.raises(binascii.Error):
            strict_base64.decode(text)

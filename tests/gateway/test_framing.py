"""Where a message ends (RFC 9112, 6) is decided in one way only, and each request gets one answer, in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import http1
from tests.support import images
from tests.support.problems import CANARY, check
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.gateway.conftest import Front

SECONDS = 8.0
"""A connection that is still open after this long hangs."""

POST = "POST /classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
CHUNKED = POST + "transfer-encoding: chunked\r\n\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"

FAULTY_HEADS = {
    "both lengths": f"{POST}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, chunked first": f"{POST}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "length twice": f"{POST}content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "two lengths": f"{POST}content-length: 3\r\ncontent-length: 50\r\n\r\nabc",
    "a list of lengths": f"{POST}content-length: 3, 3\r\n\r\nabc",
    "plus": f"{POST}content-length: +3\r\n\r\nabc",
    "minus": f"{POST}content-length: -1\r\n\r\nabc",
    "hexadecimal": f"{POST}content-length: 0x3\r\n\r\nabc",
    "no length": f"{POST}content-length:\r\n\r\nabc",
    "space before the colon": f"{POST}content-length : 3\r\n\r\nabc",
    "tab before the colon": f"{POST}transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "obsolete line folding": f"{POST}x: a\r\n content-length: 3\r\n\r\nabc",
    "folded transfer-encoding": f"{POST}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare LF": f"{POST}content-length: 3\n\r\nabc",
    "bare LF after the start": "GET /livez HTTP/1.1\nhost: localhost\n\n",
    "bare LF at the end": "GET /livez HTTP/1.1\r\nhost: localhost\r\n\n",
    "bare CR": f"{POST}x: a\rcontent-length: 3\r\n\r\nabc",
    "NUL": f"{POST}x: a\0b\r\n\r\n",
    "space before a header": "GET /livez HTTP/1.1\r\n content-length: 3\r\nhost: localhost\r\n\r\nabc",
    "identity": f"{POST}transfer-encoding: identity\r\n\r\nabc",
    "unknown coding": f"{POST}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "quoted coding": f'{POST}transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding with a parameter": f"{POST}transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "vertical tab": f"{POST}transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "compressed": f"{POST}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{POST}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then not": f"{POST}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "not chunked, then chunked": f"{POST}transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no coding": f"{POST}transfer-encoding:\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": CHUNKED.replace("1.1", "1.0") + "0\r\n\r\n",
    "HTTP/0.9": "GET /livez HTTP/0.9\r\nhost: localhost\r\n\r\n",
    "HTTP/2": "GET /livez HTTP/2.0\r\nhost: localhost\r\n\r\n",
    "HTTP/2's preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": "GET /livez\r\n\r\n",
    "a header without a name": "GET /livez HTTP/1.1\r\nhost: localhost\r\n: a\r\n\r\n",
}

FAULTY_BODIES = {
    "bare LF after a size": "3\nabc\r\n0\r\n\r\n",
    "bare LF after a chunk": "3\r\nabc\n0\r\n\r\n",
    "bare LF in an extension": "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "line break in a quoted extension": '3;a="\r\nabc\r\n0\r\n\r\n"\r\n',
    "bare LF at the end": "3\r\nabc\r\n0\r\n\n",
    "longer than its size": "3\r\nabcd\r\n0\r\n\r\n",
    "hexadecimal prefix": "0x3\r\nabc\r\n0\r\n\r\n",
    "negative": "-3\r\nabc\r\n0\r\n\r\n",
    "space before the size": " 3\r\nabc\r\n0\r\n\r\n",
    "space after the size": "3 \r\nabc\r\n0\r\n\r\n",
    "2^64": "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "no size": "\r\nabc\r\n0\r\n\r\n",
    "length in a trailer": "3\r\nabc\r\n0\r\ncontent-length: 5\r\n\r\n",
}


@pytest.mark.parametrize("listener", ["plain", "tls"])
@pytest.mark.parametrize("name", FAULTY_HEADS)
def test_a_faulty_head_ends_the_connection(front: Front, listener: str, name: str) -> None:
    with front.connect(listener, seconds=SECONDS) as connection:
        connection.send((FAULTY_HEADS[name] + SMUGGLED).encode())
        (answer,) = connection.answers(["POST"])
    check(answer, "bad_request")
    assert answer.headers.get("connection") == "close"
    assert "smuggled" not in front.gateway.log()


@pytest.mark.parametrize("name", FAULTY_BODIES)
def test_a_faulty_body_ends_the_connection(front: Front, name: str) -> None:
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send((CHUNKED + FAULTY_BODIES[name] + SMUGGLED).encode())
        (answer,) = connection.answers(["POST"])
    check(answer, "bad_request")


@pytest.mark.parametrize("name", ["bare LF after a chunk", "negative"])
@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/classify"])
def test_a_body_that_goes_wrong_once_its_request_is_answered(front: Front, name: str, path: str) -> None:
    """One request, one answer: the answer stands, and the connection ends."""
    start = "POST /classify HTTP/1.1\r\ncontent-type: text/html" if path == "/classify" else f"POST {path} HTTP/1.1"
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(f"{start}\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        first = connection.response()
        assert first.status_code in {404, 405, 415}
        connection.send((FAULTY_BODIES[name] + SMUGGLED).encode())
        assert connection.answers([]) == []


@pytest.mark.parametrize("faulty", ["length twice", "bare CR", "chunked in HTTP/1.0", "no version"])
def test_a_refusal_does_not_overtake_an_answer(front: Front, faulty: str) -> None:
    """What is refused while earlier requests are at work is told after them; otherwise their callers would get it."""
    photos = [images.plain(number) for number in (59, 61)]
    uploads = [f"{POST}content-length: {len(photo)}\r\n\r\n".encode() + photo for photo in photos]
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(b"".join(uploads) + (FAULTY_HEADS[faulty] + SMUGGLED).encode())
        *answers, refusal = connection.answers(["POST", "POST", "GET"])
    assert [answer.json()["predictions"][0]["class_id"] for answer in answers] == [59, 61]
    check(refusal, "bad_request")


def test_a_faulty_body_behind_an_unanswered_request(front: Front) -> None:
    photo = images.plain(67)
    upload = f"{POST}content-length: {len(photo)}\r\n\r\n".encode() + photo
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(upload + (CHUNKED + FAULTY_BODIES["negative"] + SMUGGLED).encode())
        answer, refusal = connection.answers(["POST", "POST"])
    assert answer.json()["predictions"][0]["class_id"] == 67
    check(refusal, "bad_request")


def test_trailers_are_no_headers(front: Front) -> None:
    """RFC 9110, 6.5.1: a proxy that removes or checks headers does not look at trailers."""
    ours = "00000000-1111-2222-3333-444444444444"
    head = "POST /livez HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(f"{head}1\r\na\r\n0\r\nx-request-id: {ours}\r\n\r\n".encode() + LAST)
        first, last = connection.answers(["POST", "GET"])
    assert first.headers["x-request-id"] != ours
    assert last.json() == {"status": "alive"}


@pytest.mark.parametrize("endless", ["trailer", "trailers", "extension"])
def test_what_surrounds_a_body_is_bounded(front: Front, endless: str) -> None:
    """It comes in small pieces, and would be kept, or at least read, for as long as it comes."""
    before, piece = {
        "trailer": ("0\r\nx: ", "a" * 1024),
        "trailers": ("0\r\n", f"x-{CANARY}: {'a' * 1000}\r\n"),
        "extension": ("1;", "a" * 1024),
    }[endless]
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send((CHUNKED + before).encode())
        wait_until("the body is awaited", lambda: front.gateway.metric("requests_in_progress") == 1)
        for _ in range(2 * http1.MAX_HEAD_BYTES // 1024):
            try:
                connection.send(piece.encode())
            except OSError:
                break  # Refused already.
        (answer,) = connection.answers(["POST"])
    check(answer, "bad_request")


def test_pipelined_requests_are_answered_in_order(front: Front) -> None:
    numbers = list(range(100, 116))
    uploads = b"".join(
        f"{POST}content-length: {len(photo)}\r\n\r\n".encode() + photo for photo in map(images.plain, numbers)
    )
    with front.connect("plain", seconds=60) as connection:
        connection.send(uploads + LAST)
        *answers, last = connection.answers([*["POST"] * len(numbers), "GET"])
    assert [answer.json()["predictions"][0]["class_id"] for answer in answers] == numbers
    assert last.json() == {"status": "alive"}


def test_pipelining_is_bounded(front: Front) -> None:
    """One packet with thousands of requests would become as many objects."""
    photo, many = images.plain(79), b"GET /livez HTTP/1.1\r\n\r\n" * 2000
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(f"{POST}content-length: {len(photo)}\r\n\r\n".encode() + photo + many)
        first, *answers, refusal = connection.answers(["GET"] * (http1.MAX_PIPELINED + 2))
    assert first.json()["predictions"][0]["class_id"] == 79
    assert {answer.text for answer in answers} == {'{"status":"alive"}'}
    check(refusal, "bad_request")


def test_nothing_is_answered_behind_a_last_request(front: Front) -> None:
    for last in (LAST, LAST.replace(b"connection: close\r\n", b"").replace(b"1.1", b"1.0")):
        with front.connect("plain", seconds=SECONDS) as connection:
            connection.send(last + SMUGGLED.encode() * 3)
            (answer,) = connection.answers(["GET"])
        assert answer.json() == {"status": "alive"}
    assert "smuggled" not in front.gateway.log()


def test_expect_100_continue(front: Front) -> None:
    """The body is asked for when it is wanted, once."""
    photo = images.plain(71)
    head = f"{POST}content-length: {len(photo)}\r\nexpect: 100-continue\r\n\r\n"
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(head.encode())
        assert connection.receive(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(photo)
        (answer,) = connection.answers(["POST"])
    assert answer.json()["predictions"][0]["class_id"] == 71


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue"])
def test_a_body_that_is_not_wanted(front: Front, expectation: str) -> None:
    """RFC 9110, 10.1.1: a caller that is refused instead of told to continue may send the body, or the next request.

    The two cannot be told apart, so the connection ends.
    """
    head = (
        f"POST /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(SMUGGLED)}\r\nexpect: {expectation}\r\n\r\n"
    )
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(head.encode())
        answer = connection.response()
        assert answer.status_code == 405
        assert answer.headers.get("connection") == "close"
        connection.send_if_open(SMUGGLED.encode())
        assert connection.answers([]) == []
    assert "smuggled" not in front.gateway.log()


def test_http_1_0_knows_no_100_continue(front: Front) -> None:
    """RFC 9110, 10.1.1: such an expectation is to be ignored."""
    photo = images.plain(73)
    head = f"{POST}content-length: {len(photo)}\r\nexpect: 100-continue\r\n\r\n".replace("1.1", "1.0")
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(head.encode())
        wait_until("the body is awaited", lambda: front.gateway.metric("requests_in_progress") == 1)
        connection.send(photo)
        assert connection.receive(16).startswith(b"HTTP/1.1 200")


def test_blank_lines_keep_no_connection_open(front: Front) -> None:
    """RFC 9112, 2.2 allows them before a request; they are no sign of life."""
    with front.connect("plain", seconds=0.5) as connection:
        connection.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.response().status_code == 200

        def hung_up() -> bool:
            connection.send_if_open(b"\r\n")
            return connection.end_of_stream()[1]

        wait_until("the gateway hangs up", hung_up, seconds=12)

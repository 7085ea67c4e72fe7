"""`blindsight classify` of what is not a photo, and at what is no gateway."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import typer

from blindsight_cli import classify
from tests.support import answering
from tests.support.command import blindsight
from tests.support.images import plain
from tests.support.malformed_answers import GOOD, MALFORMED_OF_GATEWAYS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_device_without_an_end_is_no_photo(tiny_stack: Stack, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "/dev/zero")
    assert done.returncode == 1
    assert "The file is not a photo. It is not a regular file." in done.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", ""])
def test_what_is_no_address_is_said(tmp_path: Path, url: str) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "check --url" in done.stderr


@pytest.mark.parametrize("retryable", [True, False])
def test_what_may_be_sent_again_is_marked(tmp_path: Path, *, retryable: bool) -> None:
    problem = {"type": "/problems#x", "title": "Not now", "status": 503, "detail": "Busy.", "retryable": retryable}

    (tmp_path / "photo.png").write_bytes(plain(1))
    with answering.answering(answering.json_of(problem, 503)) as url:
        done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert done.returncode == 1
    assert ("Busy. (retryable)" in done.stderr, "send those marked (retryable) again" in done.stderr) == (
        retryable,
        retryable,
    )


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    "body",
    [
        [],
        "x",
        None,
        {},
        {"message": "no such route"},
        {"predictions": 1, "model": {}},
        {"predictions": [{}], "model": {}},
    ],
    ids=str,
)
def test_json_of_something_else_is_no_answer(tmp_path: Path, status: int, body: object) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    with answering.answering(answering.json_of(body, status)) as url:
        done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert (done.returncode, "answers, but is not a Blindsight gateway" in done.stderr) == (1, True), done.stderr


def asked(response: httpx2.Response) -> dict[str, Any]:
    """What the command has to show for one photo."""
    transport = httpx2.MockTransport(lambda _: response)
    with httpx2.Client(base_url="http://gateway.example", transport=transport) as client:
        return classify._ask(client, b"photo", None, with_receipt=True)


def refused(response: httpx2.Response, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that is said of such an answer."""
    with pytest.raises(typer.Exit) as ended:
        asked(response)
    error, step = capsys.readouterr().err.splitlines()
    assert (ended.value.exit_code, step) == (1, "next:  check --url")
    return error


def test_the_answer_that_the_malformed_are_changed_from_is_one() -> None:
    first = {**GOOD["predictions"][0], "later": 1}
    answer = GOOD | {"predictions": [first], "notice": "Simulated.", "receipt": "a.b.c", "later": {"member": [1]}}
    nulls = GOOD | {"notice": None, "receipt": None, "model": GOOD["model"] | {"multi_label": None}}
    for given in (answer, nulls):
        assert asked(httpx2.Response(200, content=json.dumps(given))) == given


@pytest.mark.parametrize("case", MALFORMED_OF_GATEWAYS)
def test_an_answer_with_a_member_of_another_type(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    response = httpx2.Response(200, content=json.dumps(MALFORMED_OF_GATEWAYS[case]))
    assert refused(response, capsys) == "error: http://gateway.example answers, but is not a Blindsight gateway"


@pytest.mark.parametrize(
    "problem",
    [{"title": 1, "detail": "x"}, {"title": "x", "detail": None}, {"title": ["x"], "detail": {}}, {"title": "x"}, [],
     [["title", "x"], ["detail", "y"]]],
    ids=repr,
)  # fmt: skip
def test_a_problem_with_a_member_of_another_type(problem: object, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(httpx2.Response(422, content=json.dumps(problem)), capsys)
    assert error == "error: http://gateway.example answers, but is not a Blindsight gateway"


def test_an_answer_with_a_problem_in_it_is_one_line_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    with answering.answering(answering.json_of(GOOD | {"problem": {}})) as url:
        done = blindsight(tmp_path, "classify", "--json", "--url", url, "photo.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert "answers, but is not a Blindsight gateway" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("respond", [answering.endless, answering.packed], ids=["endless", "packed"])
def test_an_answer_that_is_too_large_is_not_read(tmp_path: Path, respond: answering.Respond) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    began = time.monotonic()
    with answering.answering(respond) as url:
        done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert done.returncode == 1
    assert "is not a Blindsight gateway" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 20


def test_an_answer_that_trickles_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(classify, "TIMEOUT_SECONDS", 1.0)
    began = time.monotonic()
    with (
        answering.answering(answering.trickling) as url,
        classify._plain_lane(url, None, None, with_receipt=False) as lane,
        pytest.raises(typer.Exit),
    ):
        lane.ask(b"photo", None)
    assert time.monotonic() - began < 10
    assert "does not answer" in capsys.readouterr().err

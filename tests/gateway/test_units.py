"""Admission, middleware and log formatter by themselves."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.problems import Problem
from gateway.admission import Admission
from gateway.enclave import attested
from gateway.log import JsonFormatter
from gateway.metrics import Metrics
from gateway.middleware import RequestMiddleware
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def _sample(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_places_are_given_out_and_taken_back() -> None:
    metrics = Metrics()
    admission = Admission(2, metrics)
    with admission.place():
        with admission.place():
            with pytest.raises(Problem) as caught, admission.place():
                pytest.fail("a third place was given out")
            assert caught.value.kind.code == "overloaded"
            assert _sample(metrics, "requests_in_progress") == 2
        with admission.place():
            assert _sample(metrics, "requests_in_progress") == 2
    assert _sample(metrics, "requests_in_progress") == 0
    assert _sample(metrics, "requests_rejected_total", reason="overloaded") == 1


def test_a_failed_request_gives_its_place_back() -> None:
    admission = Admission(1, Metrics())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), admission.place():
            raise ZeroDivisionError


def test_draining_gives_out_no_place_and_takes_none_away() -> None:
    admission = Admission(2, Metrics())
    with admission.place():
        admission.draining = True
        with pytest.raises(Problem) as caught, admission.place():
            pytest.fail("a place was given out")
        assert caught.value.kind.code == "draining"


def _record(**values: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "gateway.test", "levelno": logging.INFO, "levelname": "INFO", "msg": "event", **values}
    )


def test_log_lines_hold_only_what_is_listed() -> None:
    entry = json.loads(
        JsonFormatter().format(_record(request_id="r", status=200, filename_of_caller=CANARY, body=CANARY))
    )
    assert set(entry) == {"time", "level", "unit", "event", "request_id", "status"}
    assert (entry["level"], entry["unit"], entry["event"], entry["status"]) == ("info", "gateway", "event", 200)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", entry["time"])


def test_log_lines_stay_lines() -> None:
    line = JsonFormatter().format(_record(msg='two\nlines "and" quotes', code="\u2028"))
    assert "\n" not in line
    assert "\u2028" not in line
    assert json.loads(line)["event"] == 'two\nlines "and" quotes'


@pytest.mark.parametrize("library", ["python_multipart.multipart", "asyncio", "httptools"])
def test_words_of_libraries_which_may_quote_a_request_are_left_out(library: str) -> None:
    line = JsonFormatter().format(_record(name=library, msg=f"Expected boundary character 45, got {CANARY}"))
    assert CANARY not in line
    assert json.loads(line)["event"] == f"a message of {library}"


def test_exceptions_are_named_and_placed_but_not_quoted() -> None:
    try:
        int(CANARY)
    except ValueError as error:
        line = JsonFormatter().format(_record(exc_info=(type(error), error, error.__traceback__)))
    assert CANARY not in line
    entry = json.loads(line)
    assert entry["exception"] == "ValueError"
    assert re.search(r"test_units\.py:\d+$", entry["where"])


async def _call(app: ASGIApp, metrics: Metrics, **scope: Any) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    full: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [], **scope}
    await RequestMiddleware(app, metrics)(full, receive, send)
    return sent


async def _hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def test_unknown_methods_make_no_new_series() -> None:
    metrics = Metrics()
    for method in ("GET", CANARY, f"{CANARY}2"):
        await _call(_hello, metrics, method=method)
    assert _sample(metrics, "http_requests_total", method="GET", route="unmatched", status="200") == 1
    assert _sample(metrics, "http_requests_total", method="other", route="unmatched", status="200") == 2


async def test_other_scopes_pass_through() -> None:
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(dict(scope))

    await _call(app, Metrics(), type="lifespan")
    assert "state" not in seen[0]


async def test_an_exception_before_the_answer_is_a_problem() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError(CANARY)

    start, body = await _call(app, Metrics())
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"content-type"] == b"application/problem+json"
    problem = json.loads(body["body"])
    assert problem["code"] == "internal"
    assert problem["instance"].encode() == b"urn:uuid:" + headers[b"x-request-id"]
    assert CANARY not in str((start, body))


async def test_an_exception_within_the_answer_cuts_it() -> None:
    """A second start would be a lie, and a tidy end a worse one."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(CANARY)

    metrics = Metrics()
    with pytest.raises(RuntimeError):
        await _call(app, metrics)
    assert _sample(metrics, "http_requests_total", method="GET", route="unmatched", status="200") == 1


def test_what_an_enclave_says_of_its_confinement_is_passed_on_in_the_right_form_only() -> None:
    """A status is not authenticated, and any caller may read `/info`."""
    good = {"layers": ["seccomp"], "landlock_abi": 7, "absent": {"cgroup": "none"}, "gaps": []}
    assert attested._confinement({"confinement": {**good, "more": CANARY}}) == good
    for changes in (
        {"layers": [1]},
        {"landlock_abi": "7"},
        {"absent": {"cgroup": 1}},
        {"gaps": None},
        {"layers": "all"},
    ):
        assert attested._confinement({"confinement": {**good, **changes}}) is None
    for status in ({}, {"confinement": None}, {"confinement": []}, {"confinement": "complete"}):
        assert attested._confinement(status) is None

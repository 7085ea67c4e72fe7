"""What a hardware report takes from `/info` of a server that is no gateway, or a hostile one: an error, and no file."""

from __future__ import annotations

import time

import pytest

from blindsight.errors import TransportError
from blindsight_cli.hardware import collect
from tests.support import answering
from tests.support.answering import content, json_of


def refused(respond: answering.Respond) -> str:
    """The code of the error."""
    with answering.answering(respond) as url, pytest.raises(TransportError) as caught:
        collect.info_of(url, None)
    assert caught.value.next_step
    return caught.value.code


def test_a_gateways_statements_are_taken() -> None:
    info = {"version": "0.2.0", "confinement": {"layers": [], "gaps": []}}
    with answering.answering(json_of(info)) as url:
        assert collect.info_of(url, None) == info


@pytest.mark.parametrize(
    "respond",
    [
        content(b"<html>"), content(b""), content(b"\xff"), json_of([]), json_of({}), json_of("x"), json_of(None),
        json_of({"version": "0.2.0"}, 404), content(b'{"version": "1"}', 307, location="http://127.0.0.1:1/"),
        content(b'{"confinement": {"gaps": %d}}' % 10**400), content(b'{"version": "\\ud800"}'),
        answering.endless, answering.packed,
    ],
    ids=["page", "empty", "bytes", "list", "nothing", "text", "null", "404", "redirect", "number", "surrogate",
         "endless", "packed"],
)  # fmt: skip
def test_what_is_no_statement_is_no_part_of_a_report(respond: answering.Respond) -> None:
    assert refused(respond) == "unexpected_answer"


@pytest.mark.parametrize("respond", [answering.silent, answering.trickling, answering.trickling_head],
                         ids=["silent", "body", "head"])  # fmt: skip
def test_a_slow_server_is_waited_for_in_limits(monkeypatch: pytest.MonkeyPatch, respond: answering.Respond) -> None:
    monkeypatch.setattr(collect, "_INFO_SECONDS", 0.5)
    began = time.monotonic()
    assert refused(respond) == "timed_out"
    assert time.monotonic() - began < 5

"""The catalogue of problems and what a problem says."""

from __future__ import annotations

import json
import re
from http import HTTPStatus

import pytest

from blindsight.problems import CATALOGUE, Problem


def test_codes_are_their_own_keys_and_fit_an_anchor():
    assert all(kind.code == code and re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code, kind in CATALOGUE.items())
    assert len({kind.type for kind in CATALOGUE.values()}) == len(CATALOGUE)


def test_statuses_are_errors_and_the_callers_own_mistakes_are_not_retried():
    for kind in CATALOGUE.values():
        assert HTTPStatus(kind.status) >= 400
        if kind.retry:
            assert kind.status in {408, 429, 503, 504}
        else:
            assert kind.status < 502


def test_titles_are_short_sentences_without_an_end():
    for title in (kind.title for kind in CATALOGUE.values()):
        assert title[0].isupper() or title.startswith("top_k")
        assert not title.endswith(".")


def test_the_document_has_the_members_of_rfc_9457_and_ours():
    problem = Problem("too_many_pixels", "The image has too many pixels.", limit_pixels=100)
    assert problem.body() == {
        "type": "/problems#too_many_pixels",
        "title": "The image has too many pixels",
        "status": 422,
        "detail": "The image has too many pixels.",
        "code": "too_many_pixels",
        "retryable": False,
        "limit_pixels": 100,
    }
    assert str(problem) == problem.detail
    json.dumps(problem.body())


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_makes_a_problem(code):
    problem = Problem(code, "x")
    assert problem.body()["retryable"] is CATALOGUE[code].retry


def test_an_unknown_code_is_a_programming_error():
    with pytest.raises(KeyError):
        Problem("no_such_code", "x")

"""`top_k` and `receipt` in query, form and JSON alike; what is not known is refused by its name."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import images
from tests.support.problems import CANARY, check

if TYPE_CHECKING:
    import httpx2

    from tests.support.stack import Stack

CLASS = 437
PHOTO = images.plain(CLASS)


def by_form(stack: Stack, fields: dict[str, Any], query: str = "") -> httpx2.Response:
    return stack.client.post(f"/classify{query}", files={"file": PHOTO}, data=fields)


def by_json(stack: Stack, fields: dict[str, Any], query: str = "") -> httpx2.Response:
    return stack.client.post(f"/classify{query}", json={"image": base64.b64encode(PHOTO).decode(), **fields})


def by_batch(stack: Stack, fields: dict[str, Any], query: str = "") -> httpx2.Response:
    return stack.client.post(f"/classify/batch{query}", files={"files": PHOTO}, data=fields)


ROUTES = {"form": by_form, "json": by_json, "batch": by_batch}


def count(response: httpx2.Response) -> int:
    assert response.status_code == 200, response.text
    answer = response.json()
    return len(answer.get("results", [answer])[0]["predictions"])


@pytest.mark.parametrize("route", ROUTES)
def test_top_k_is_heeded_wherever_it_stands(tiny_stack: Stack, route: str) -> None:
    ask = ROUTES[route]
    assert count(ask(tiny_stack, {"top_k": 3})) == 3
    assert count(ask(tiny_stack, {"top_k": 1000})) == 1000
    assert count(ask(tiny_stack, {}, "?top_k=2")) == 2
    assert count(ask(tiny_stack, {"top_k": 2}, "?top_k=2")) == 2
    assert count(ask(tiny_stack, {})) == 5


@pytest.mark.parametrize("route", ROUTES)
def test_two_that_differ_are_refused(tiny_stack: Stack, route: str) -> None:
    detail = check(ROUTES[route](tiny_stack, {"top_k": 3}, "?top_k=5"), "invalid_parameter")["detail"]
    assert "'top_k'" in detail
    assert "query" in detail


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("value", ["0", "1001", "-1", "5.0", "+5", " 5", "5_0", "\u0665", CANARY, "9" * 500])
def test_faulty_numbers(tiny_stack: Stack, route: str, value: str) -> None:
    check(ROUTES[route](tiny_stack, {"top_k": value}), "invalid_top_k")


@pytest.mark.parametrize("value", [0, 1001, -1, 5.5, True, False, "5", [5], {"top_k": 5}, 10**30])
def test_faulty_numbers_in_json(tiny_stack: Stack, value: object) -> None:
    check(by_json(tiny_stack, {"top_k": value}), "invalid_top_k")


def test_null_is_as_if_it_was_not_there(tiny_stack: Stack) -> None:
    """Generated clients write it for what their callers left out."""
    assert count(by_json(tiny_stack, {"top_k": None, "receipt": None, "ciphertext": None})) == 5
    assert count(by_json(tiny_stack, {"top_k": None}, "?top_k=7")) == 7


def test_an_empty_field_of_a_form_is_faulty(tiny_stack: Stack) -> None:
    check(by_form(tiny_stack, {"top_k": ""}), "invalid_top_k")


def test_one_parameter_twice_in_a_form(tiny_stack: Stack) -> None:
    check(by_form(tiny_stack, {"top_k": ["3", "4"]}), "invalid_top_k")
    check(by_form(tiny_stack, {"receipt": ["true", "true"]}), "invalid_parameter")


@pytest.mark.parametrize("route", ["form", "json"])
def test_a_receipt_is_asked_for_wherever_it_stands(tiny_stack: Stack, route: str) -> None:
    ask = ROUTES[route]
    for given, query, expected in (
        (True, "", True), (False, "", False), (True, "?receipt=true", True), (None, "?receipt=true", True)
    ):  # fmt: skip
        fields = {} if given is None else {"receipt": str(given).lower() if route == "form" else given}
        answer = ask(tiny_stack, fields, query)
        assert answer.status_code == 200, answer.text
        assert ("receipt" in answer.json()) is expected
    contradiction = {"receipt": "false" if route == "form" else False}
    assert "'receipt'" in check(ask(tiny_stack, contradiction, "?receipt=true"), "invalid_parameter")["detail"]
    for value in ("1", "yes", CANARY) if route == "form" else ("true", 1, "yes", [True]):
        assert "receipt" in check(ask(tiny_stack, {"receipt": value}), "invalid_parameter")["detail"]


UNKNOWN = ["topk", "top-k", "Top_k", "model", "filename[]", "a.b", "x" * 40]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_names_are_refused_by_name(tiny_stack: Stack, route: str, name: str) -> None:
    problem = check(ROUTES[route](tiny_stack, {name: "3"}), "invalid_parameter")
    assert f"'{name}'" in problem["detail"]
    assert "top_k" in problem["detail"], "and what is known is said"
    problem = check(ROUTES[route](tiny_stack, {}, f"?{name}=3"), "invalid_parameter")
    assert f"'{name}'" in problem["detail"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a" * 41, None), (base64.b64encode(PHOTO).decode()[:60], None), ("tür", r"t\xfcr"), ("a'b", None),
        ("<script>", "<script>"), ("a\x07b", r"a\x07b"), ("\u2028", r"\u2028"), ("a b", "a b"), ("", "''"),
    ],
)  # fmt: skip
def test_names_are_bounded_and_escaped(tiny_stack: Stack, route: str, name: str, shown: str | None) -> None:
    if route == "json":
        response = by_json(tiny_stack, {name: 3})
    else:
        response = tiny_stack.client.post(
            "/classify" if route == "form" else "/classify/batch",
            params={name: "3"},
            files={"file" if route == "form" else "files": PHOTO},
        )
    detail = check(response, "invalid_parameter")["detail"]
    assert detail.isascii()
    assert detail.isprintable()
    assert len(detail) < 400
    if len(name) > 40:
        assert name[:20] not in detail
        assert str(len(name)) in detail
    elif shown is not None:
        assert shown in detail


@pytest.mark.parametrize("route", ROUTES)
def test_values_are_not_repeated(tiny_stack: Stack, route: str) -> None:
    check(ROUTES[route](tiny_stack, {"note": CANARY}, f"?more={CANARY}"), "invalid_parameter")
    check(ROUTES[route](tiny_stack, {"note": CANARY}), "invalid_parameter")


def test_names_are_not_logged(tiny_stack: Stack) -> None:
    for ask in ROUTES.values():
        ask(tiny_stack, {"loggednowhere": "1"}, "?loggednowhere2=1")
    assert "loggednowhere" not in tiny_stack.logs()


def test_a_file_under_another_name(tiny_stack: Stack) -> None:
    for path, field, known in (("/classify", "photo", "file"), ("/classify", "files", "/classify/batch"),
                               ("/classify/batch", "photo", "files")):  # fmt: skip
        problem = check(tiny_stack.client.post(path, files={field: PHOTO}), "invalid_parameter")
        assert f"'{field}'" in problem["detail"]
        assert known in problem["detail"]


@pytest.mark.parametrize("path", ["/ohttp", "/classify"])
@pytest.mark.parametrize("query", ["top_k=3", "receipt=true", "note=1"])
def test_parameters_of_a_sealed_request_are_inside_it(tiny_stack: Stack, path: str, query: str) -> None:
    sealed = {"content-type": "message/ohttp-req"}
    problem = check(tiny_stack.client.post(f"{path}?{query}", content=b"x", headers=sealed), "invalid_parameter")
    assert f"'{query.partition('=')[0]}'" in problem["detail"]


@pytest.mark.parametrize("path", ["/attestation", "/.well-known/ohttp-gateway"])
def test_a_misspelt_nonce_gives_no_evidence_without_one(tiny_stack: Stack, path: str) -> None:
    problem = check(tiny_stack.client.get(f"{path}?nonse=bWFrZSB5b3VyIG93biByYW5kb20gYnl0ZXM"), "invalid_parameter")
    assert "'nonse'" in problem["detail"]
    twice = "nonce=bWFrZSB5b3VyIG93biByYW5kb20gYnl0ZXM"
    check(tiny_stack.client.get(f"/attestation?{twice}&{twice}"), "invalid_parameter")


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/readyz", "/info", "/static/docs.js"])
def test_pages_and_probes_take_any_query(tiny_stack: Stack, path: str) -> None:
    """Which probes and links have for reasons of their own, and which changes nothing there."""
    assert tiny_stack.client.get(f"{path}?utm_source=x&_=1").status_code == 200


def test_a_repeated_member_of_json_is_no_json(tiny_stack: Stack) -> None:
    body = json.dumps({"image": base64.b64encode(PHOTO).decode()})[:-1] + ', "top_k": 3, "top_k": 3}'
    check(tiny_stack.client.post("/classify", content=body, headers={"content-type": "application/json"}), "bad_json")


def test_a_ciphertext_has_parameters_as_well(tiny_stack: Stack) -> None:
    """It is the account's that is missing, not what is asked."""
    check(tiny_stack.client.post("/classify", json={"ciphertext": "cape:AAAA", "top_k": 3}), "cannot_decrypt")
    check(tiny_stack.client.post("/classify", json={"ciphertext": "cape:AAAA", "top_k": 0}), "invalid_top_k")

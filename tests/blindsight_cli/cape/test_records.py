"""Listing, deleting, tokens."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

CREATED = "Success! Your token: "


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is known."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Etc/GMT-1")
        time.tzset()
        yield
    time.tzset()


def test_nothing_deployed(ada: Callable[..., Any]) -> None:
    for form in ("plain", "json"):
        assert ada("list", "-o", form).out == "No functions deployed.\n"


def test_the_list(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    ada("deploy", str(echo))
    [function] = host.functions.values()
    assert ada("list").out == (
        "┌───┬──────┬────────────────────────┬───────────────────┐\n"
        "│ # │ NAME │ ID                     │ CREATED AT        │\n"
        "├───┼──────┼────────────────────────┼───────────────────┤\n"
        f"│ 0 │ echo │ {function.id} │ Nov 01 2026 13:34 │\n"
        "└───┴──────┴────────────────────────┴───────────────────┘\n"
    )
    shown = json.loads(ada("list", "-o", "json").out)
    assert shown["count"] == 1
    assert shown["deployments"] == [{"id": function.id, "name": "echo", "created_at": "2026-11-01T12:34:56.123456789Z"}]


def test_pages(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    for name in "abc":
        ada("deploy", str(echo), "-n", name)
    shown = json.loads(ada("list", "--limit", "1", "--offset", "1", "-o", "json").out)
    assert [each["name"] for each in shown["deployments"]] == ["b"]
    ada("list")
    assert host.requests[-1].path == "/v1/functions?limit=50&offset=0"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((401, {"error": "x"}), "unauthorized: authentication required"),
        ((500, {"error": "broken", "message": "broken"}), "broken"),
        ((502, b"<html>"), "502 Bad Gateway"),
        ((200, {"id": "x"}), "the host's answer is not a list"),
        ((200, b"x"), "the host's answer is not a list"),
        ((200, [1]), "the host's answer is not a list"),
    ],
)
def test_a_list_that_cannot_be_had(
    answer: tuple[int, Any], text: str, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    host.faults["rest"] = answer
    outcome = ada("list")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f"Error: list failed: {text}\n")


def test_odd_times_are_shown_as_they_are(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["rest"] = 200, [{"id": "i", "name": "n", "created_at": "once"}, {}]
    table = ada("list").out
    assert "│ once  " in table.replace("       ", "  ")
    assert "Never" in table


def test_deleting(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    ada("deploy", str(echo))
    [function_id] = host.functions
    outcome = ada("delete", function_id)
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err == f"Success! Function {function_id} deleted.\n\n"
    outcome = ada("delete", function_id)
    assert (outcome.status, outcome.err) == (1, f"Error: delete failed: function ID not found: {function_id}\n")


def test_deleting_fails(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["rest"] = 401, b""
    assert ada("delete", "x").err == "Error: delete failed: 401 Unauthorized\n"
    assert ada("delete").err.startswith("Error: you must pass a function ID: invalid number of input arguments\nUsage:")


def test_an_id_cannot_lead_elsewhere(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    ada("delete", "../tokens?x#y")
    assert host.requests[-1].path == "/v1/functions/..%2Ftokens%3Fx%23y"


def test_a_token_runs_functions_only(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("token", "create", "-n", "mine", "-d", "for a test")
    assert (outcome.status, outcome.err) == (0, "")
    text = outcome.out.removeprefix(CREATED).removesuffix("\n")
    token = tokens.verify(text, host.accounts["ada"])
    assert (token.scope, token.expires, token.function_id) == ("run", None, None)
    assert set(host.requests[-1].body) == {"name", "description", "function_id", "token"}
    assert host.tokens[token.id]["description"] == "for a test"
    assert ada("list", "-t", text).err == "Error: list failed: this token only runs functions\n"


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [("60", timedelta(minutes=1)), ("1h30m", timedelta(minutes=90)), ("300s", timedelta(minutes=5))],
)
def test_a_token_that_expires(text: str, lifetime: timedelta, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("token", "create", "-n", "mine", "-e", text)
    token = tokens.verify(outcome.out.removeprefix(CREATED).strip(), host.accounts["ada"])
    assert token.expires - token.issued == lifetime
    assert host.requests[-1].body["expiry"] == token.expires.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_token_for_one_function(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("token", "create", "-n", "mine", "-f", "E7LiYKk4eSkEKAddXneVrX", "--bare")
    assert tokens.verify(outcome.out.strip(), host.accounts["ada"]).function_id == "E7LiYKk4eSkEKAddXneVrX"


def test_a_token_as_json(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    shown = json.loads(ada("token", "create", "-n", "mine", "-o", "json").out)
    assert set(shown) == {"id", "token", "expiry"}
    assert tokens.verify(shown["token"], host.accounts["ada"]).id == shown["id"]
    assert shown["expiry"] is None


@pytest.mark.parametrize("expiry", ["soon", "-1h", "0", "500ms", "1d"])
def test_a_lifetime_that_is_none(expiry: str, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("token", "create", "-n", "x", f"--expiry={expiry}")
    assert outcome.status == 1
    assert outcome.err.startswith("Error: ")
    assert host.tokens == {}


def test_a_token_needs_a_name(ada: Callable[..., Any]) -> None:
    for argv in ([], ["-n", ""]):
        assert ada("token", "create", *argv).err.startswith("Error: token names must be alphanumeric\nUsage:")


def test_tokens_in_a_table(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    assert ada("token", "list").out == "No tokens found. You can create tokens with cape token create\n"
    host.faults["rest"] = (
        200,
        [{"id": "E7LiYKk4eSkEKAddXneVrX", "name": "n", "description": "", "created_at": "2026-11-01T12:34:56Z",
          "last_used": None, "expiry": "2026-11-02T12:34:56+02:00"}],
    )  # fmt: skip
    assert ada("token", "list").out == (
        "┌────────────────────────┬──────┬─────────────┬───────────────────┬───────────┬───────────────────┐\n"
        "│ ID                     │ NAME │ DESCRIPTION │ CREATED AT        │ LAST USED │ EXPIRES           │\n"
        "├────────────────────────┼──────┼─────────────┼───────────────────┼───────────┼───────────────────┤\n"
        "│ E7LiYKk4eSkEKAddXneVrX │ n    │             │ Nov 01 2026 13:34 │ Never     │ Nov 02 2026 11:34 │\n"
        "└────────────────────────┴──────┴─────────────┴───────────────────┴───────────┴───────────────────┘\n"
    )
    assert json.loads(ada("token", "list", "-o", "json").out)["count"] == 1


def test_a_token_is_revoked(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    ada("token", "create", "-n", "mine")
    [token_id] = host.tokens
    assert ada("token", "delete", token_id).out == f"Deleted token {token_id}\n"
    assert host.tokens == {}


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["token", "create", "-n", "x"], "something went wrong, your token was not created"),
        (["token", "delete", "x"], "something went wrong, your token was not deleted"),
        (["token", "list"], "something went wrong"),
    ],
)
def test_the_fixed_sentences_come_with_the_reason(
    argv: list[str], text: str, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    host.faults["rest"] = 503, {"error": "later", "message": "later"}
    assert ada(*argv).err == f"later\nError: {text}\n"


def test_without_the_owner_key_no_token(ada: Callable[..., Any], home: Path, host: FakeCapeHost) -> None:
    (home / ".config" / "cape" / "owner.key").unlink()
    assert ada("token", "create", "-n", "x").err.startswith("Error: no owner key at ")
    assert ada("token", "delete").err.startswith("Error: you must pass a token ID: invalid number")

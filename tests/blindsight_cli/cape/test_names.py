"""What is no name, or no ID, is refused with what would be one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

RUN_STEP = "`cape list` shows the IDs and names of your functions; a name goes with its account, as in ada/echo.\n"
ID_STEP = "`cape list` shows the IDs of your functions.\n"
FUNCTION = "the name of a function has 1 to 100 of a-z, A-Z, 0-9, dots, dashes and underscores"
USERNAME = "a username has 1 to 39 of a-z, A-Z, 0-9 and dashes, none of these first or last"


def test_signup_asks_for_the_name(cape: Callable[..., Any], host: FakeCapeHost, home: Path) -> None:
    outcome = cape("signup")
    assert (outcome.status, outcome.out, host.requests) == (1, "", [])
    assert outcome.err.startswith("Error: you must pass a username: cape signup NAME\n")
    assert not (home / ".config" / "cape").exists()


@pytest.mark.parametrize(
    "name", ["local/", "/echo", "/", "", "echo", "ada/echo/", "a/b/c", "ada/\xfcn\xef", "\xfcda/echo", "a?b#c d"]
)
def test_run_of_what_is_no_function(ada: Callable[..., Any], host: FakeCapeHost, name: str) -> None:
    host.sockets.clear()
    outcome = ada("run", name, "x")
    text = f"Error: run request failed: {name!r} is neither a function ID nor USER/NAME\n{RUN_STEP}"
    assert (outcome.status, outcome.out, outcome.err) == (1, "", text)
    assert host.sockets == []


def test_deploy_of_a_folder_whose_name_is_none(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, tmp_path: Path
) -> None:
    folder = echo.rename(tmp_path / "\xfcn\xef")
    outcome = ada("deploy", str(folder))
    step = "Give it one: cape deploy FOLDER --name NAME\n"
    assert outcome.err == f"Error: unable to deploy function: {FUNCTION}: '\xfcn\xef' is none\n{step}"
    for name in ("\u540d\u524d", "a/b", "x" * 101):
        outcome = ada("deploy", str(folder), "-n", name)
        assert outcome.err == f"Error: unable to deploy function: {FUNCTION}: {name!r} is none\n{step}"
    assert host.functions == {}
    assert ada("deploy", str(folder), "-n", "une").status == 0


@pytest.mark.parametrize("name", ["\xfcn\xef", "a/b", "a b", ".."])
def test_a_function_is_not_begun_under_what_is_no_name(offline: Callable[..., Any], tmp_path: Path, name: str) -> None:
    folder = tmp_path / "functions"
    outcome = offline("function", "create", name, "-l", str(folder))
    assert (outcome.status, outcome.err) == (1, f"Error: unable to create function: {FUNCTION}: {name!r} is none\n")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["\xfcn\xef", "a b", "ada/", "-ada", "x" * 40])
def test_what_is_no_username(ada: Callable[..., Any], host: FakeCapeHost, name: str) -> None:
    host.requests.clear()
    for argv, failed in (
        (("signup", "--", name), "signup failed"),
        (("login", "--username", name), "login failed"),
        (("encrypt", "--username", name, "x"), "unable to encrypt"),
    ):
        outcome = ada(*argv)
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err == f"Error: {failed}: {USERNAME}: {name!r} is none\n"
    assert host.requests == []


@pytest.mark.parametrize("name", ["local/", "ada/echo", "\xfcn\xef", "echo"])
def test_a_token_for_what_is_no_function_is_not_made(ada: Callable[..., Any], host: FakeCapeHost, name: str) -> None:
    """It would run nothing, and not say so."""
    outcome = ada("token", "create", "-n", "x", "-f", name)
    assert (outcome.status, outcome.out, host.tokens) == (1, "", {})
    assert (
        outcome.err
        == f"Error: something went wrong, your token was not created: {name!r} is not a function ID\n{ID_STEP}"
    )
    outcome = ada("delete", name)
    assert outcome.err == f"Error: delete failed: function ID not found: {name}\n{ID_STEP}"


@pytest.mark.parametrize("token", ["\xfcn\xef", "a\nb", "a\x00b"])
def test_what_is_no_token_is_not_sent(ada: Callable[..., Any], host: FakeCapeHost, echo: Path, token: str) -> None:
    host.requests.clear()
    host.sockets.clear()
    for argv in (
        ("list",),
        ("token", "list"),
        ("delete", "E7LiYKk4eSkEKAddXneVrX"),
        ("key",),
        ("test", str(echo), "x"),
    ):
        outcome = ada(*argv, "-t", token)
        assert (outcome.status, outcome.out) == (1, "")
        assert "Error: the token is empty or has characters that no token has\n" in outcome.err
    assert (host.requests, host.sockets) == ([], [])

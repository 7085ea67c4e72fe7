"""Command lines: read as the original reads them, refused with its words, explained by help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import blindsight
from blindsight_cli.cape.flags import UsageError, parse, usage
from blindsight_cli.cape.main import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable


def taken(*argv: str) -> tuple[str, dict[str, Any], list[str]]:
    parsed = parse(ROOT, argv)
    starts = {flag.name: flag.start for command in parsed.path for flag in command.flags}
    values = {name: value for name, value in parsed.values.items() if value != starts[name]}
    return " ".join(command.name for command in parsed.path), values, parsed.arguments


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "id", "data"], ("cape run", {}, ["id", "data"])),
        (["run", "id", "-t", "x", "data"], ("cape run", {"token": "x"}, ["id", "data"])),
        (["-u", "https://h", "run", "id"], ("cape run", {"url": "https://h"}, ["id"])),
        (["run", "id", "--url=https://h", "-ojson"], ("cape run", {"url": "https://h", "output": "json"}, ["id"])),
        (["run", "id", "-t=x"], ("cape run", {"token": "x"}, ["id"])),
        (["run", "id", "-f", "-"], ("cape run", {"file": "-"}, ["id"])),
        (["run", "id", "--", "-5"], ("cape run", {}, ["id", "-5"])),
        (["run", "id", "--", "--token"], ("cape run", {}, ["id", "--token"])),
        (["run", "id", "-vt", "x"], ("cape run", {"verbose": True, "token": "x"}, ["id"])),
        (["run", "id", "-p", "0:a,0:b", "-p", "1:c"], ("cape run", {"pcr": ["0:a", "0:b", "1:c"]}, ["id"])),
        (["deploy", "d", "--public"], ("cape deploy", {"public": True}, ["d"])),
        (["deploy", "d", "--public=false"], ("cape deploy", {}, ["d"])),
        (["list", "--limit", "5", "--offset=-1"], ("cape list", {"limit": 5, "offset": -1}, [])),
        (["token", "create", "-n", "a b", "-d", ""], ("cape token create", {"name": "a b"}, [])),
        (["-o", "json", "token", "-v", "list"], ("cape token list", {"output": "json", "verbose": True}, [])),
    ],
)
def test_lines_that_are_understood(argv: list[str], expected: tuple[str, dict[str, Any], list[str]]) -> None:
    assert taken(*argv) == expected


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["sing"], 'unknown command "sing" for "cape"'),
        (["token", "sing"], 'unknown command "sing" for "cape token"'),
        (["run", "--sing"], "unknown flag: --sing"),
        (["run", "--tok", "x"], "unknown flag: --tok"),
        (["run", "-vx"], "unknown shorthand flag: 'x' in -vx"),
        (["--token", "x", "run"], "unknown flag: --token"),
        (["run", "--token"], "flag needs an argument: --token"),
        (["run", "-t"], "flag needs an argument: 't' in -t"),
        (["list", "--limit", "five"], 'invalid argument "five" for "--limit" flag: parsing "five": invalid syntax'),
        (["deploy", "--public=maybe"], 'invalid argument "maybe" for "--public" flag: parsing "maybe": invalid syntax'),
    ],
)
def test_lines_that_are_not(argv: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(ROOT, argv)
    assert str(caught.value) == complaint


def test_a_wrong_line_shows_usage_and_fails(offline: Callable[..., Any]) -> None:
    outcome = offline("token", "create", "--sing")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: unknown flag: --sing\nUsage:\n  cape token create [flags]\n")


def test_without_arguments_help_is_no_failure(offline: Callable[..., Any]) -> None:
    outcome = offline()
    assert (outcome.status, outcome.err) == (0, "")
    for command in ROOT.commands:
        assert f"\n  {command.name} " in outcome.out


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], ["token"], ["token", "create", "-h"], ["help", "run"]])
def test_help_goes_to_standard_output(argv: list[str], offline: Callable[..., Any]) -> None:
    outcome = offline(*argv)
    assert (outcome.status, outcome.err) == (0, "")
    assert "Usage:" in outcome.out


def test_help_names_every_flag() -> None:
    def walk(path: list[Any]) -> None:
        text = usage(path)
        for flag in (flag for command in path for flag in command.flags):
            assert f"--{flag.name}" in text
        for command in path[-1].commands:
            walk([*path, command])

    walk([ROOT])


def test_an_unknown_output_form_is_refused(offline: Callable[..., Any]) -> None:
    outcome = offline("version", "-o", "yaml")
    assert (outcome.status, outcome.err) == (1, "Error: unknown output option: yaml\n")


def test_version(offline: Callable[..., Any]) -> None:
    assert offline("version").out == f"{blindsight.__version__}\n"

"""Tables, JSON and lines as Cape's command line prints them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blindsight_cli.cape import console

if TYPE_CHECKING:
    import pytest


def test_a_table_in_boxes() -> None:
    rows = [["0", "écho", "E7L"], ["10", "日本", ""]]
    assert console.box_table(["#", "NAME", "ID"], rows).splitlines() == [
        "┌────┬──────┬─────┐",
        "│  # │ NAME │ ID  │",
        "├────┼──────┼─────┤",
        "│  0 │ écho │ E7L │",
        "│ 10 │ 日本 │     │",
        "└────┴──────┴─────┘",
    ]


def test_a_host_cannot_talk_to_the_terminal() -> None:
    table = console.box_table(["NAME"], [["a\x1b[2Jb\nc"]])
    assert "\x1b" not in table
    assert len(table.splitlines()) == 5
    assert console.printable("a\x1b\x07\r\nb é➜") == "a\ufffd\ufffd\ufffd\ufffdb é➜"


def test_json_as_go_writes_it() -> None:
    value = {"output": "<a & b> é \u2028", "n": 1, "none": None}
    text = console.go_json(value)
    assert text == '{"output":"\\u003ca \\u0026 b\\u003e é \\u2028","n":1,"none":null}'
    assert json.loads(text) == value


def test_an_error_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    console.fail("two\nlines")
    assert capfd.readouterr() == ("", "Error: two\ufffdlines\n")


def test_results_are_utf8_whatever_the_locale(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    console.out("➜ \udcff")
    console.out_bytes(b"\xff\x00")
    assert capfdbinary.readouterr().out == "➜ ?\n".encode() + b"\xff\x00"

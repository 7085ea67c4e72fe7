"""docs/cape-compatibility.md lists the statements of Cape's protocol that have a test, all 51, and no others."""

from __future__ import annotations

import re

from tests.support import facilities_table
from tests.support.conformance_table import PAGE, generated, statements, table


def test_every_statement_has_one_test() -> None:
    assert [number for number, *_ in statements()] == list(range(1, 52))


def test_the_page_lists_them() -> None:
    shown = generated(PAGE.read_text(encoding="utf-8"))
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", shown, re.MULTILINE)] == list(range(1, 52))
    assert shown == table(), "run python -m tests.support.conformance_table"


def test_the_files_it_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).exists() or target.startswith("http"), target


def test_the_page_lists_what_functions_find() -> None:
    shown = facilities_table.generated(PAGE.read_text(encoding="utf-8"))
    assert shown == facilities_table.table(), "run python -m tests.support.facilities_table"

"""The table of docs/cape-compatibility.md of what functions find, made from the facilities that are tested.

`python -m tests.support.facilities_table` writes it anew.
"""

from __future__ import annotations

from typing import Final

from tests.enclave_runtime.cape.facilities import ANYWHERE, MORE_PROCESSES
from tests.support.conformance_table import PAGE

BEGIN: Final = "<!-- generated: python -m tests.support.facilities_table -->\n"
END: Final = "<!-- end of the table of facilities -->\n"


def table() -> str:
    rows = [
        f"| {each.name} | {each.statement} | {where} |\n"
        for facilities, where in ((ANYWHERE, "yes"), (MORE_PROCESSES, "no"))
        for each in facilities
    ]
    return "| | what works | without namespaces and control groups, too |\n|---|---|---|\n" + "".join(rows)


def generated(page: str) -> str:
    """What stands between the marks of `page`."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(head + BEGIN + table() + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Formats results as tables: plain text for the terminal, Markdown for docs/conformance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight_conformance.rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blindsight_conformance.book import Case
    from blindsight_conformance.runner import Outcome, Result
    from blindsight_conformance.verifiers import Foreign

BEGIN, END = "<!-- made by `make conformance-foreign` -->", "<!-- end of what is made -->"

_SHOWN = 12


def by_group(cases: Sequence[Case], results: Sequence[Result]) -> str:
    """A table with a line for each group: number of cases, and number of expected verdicts for each verifier."""
    groups = list(dict.fromkeys(_group(case.id) for case in cases))
    rows = [["cases", "", *(result.name for result in results)]]
    for group in [*groups, "all"]:
        ids = [case.id for case in cases if group in {"all", _group(case.id)}]
        rows.append([group, str(len(ids)), *(str(sum(r.outcomes[case] == "agrees" for case in ids)) for r in results)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells))
    return "\n".join(lines) + "\n"


def disagreements(cases: Sequence[Case], results: Sequence[Result]) -> str:
    """A line for each case and verifier whose verdict is not the expected one."""
    expected = {case.id: case.expected for case in cases}
    return "".join(
        f"{result.name}: {case}: {result.outcomes[case]}; expected {dict(expected[case])}, "
        f"answered {dict(result.answers.get(case, {}))}\n"
        for result in results
        for case in result.disagreements
    )


def markdown(cases: Sequence[Case], results: Sequence[Result], foreigns: Iterable[Foreign]) -> str:
    """Markdown: which known weaknesses other projects' verifiers have, and which genuine forms they refuse."""
    published = {foreign.name: foreign for foreign in foreigns}
    hostile = [case for case in cases if case.expected["result"] == "refused"]
    good = [case for case in cases if case.expected["result"] == "accepted"]
    lines = ["| verifier | leaves to its caller | lets through | refuses of genuine forms | crashes | cases |"]
    lines.append("|---|---|---|---|---|---|")
    for result in results:
        foreign = published[result.name]
        asked = len(cases) - len(result.of("unsupported"))
        counts = [
            f"{_count(result, 'accepts', hostile)} of {_asked(result, hostile)}",
            f"{_count(result, 'refuses', good)} of {_asked(result, good)}",
            str(len(result.of("crashes"))),
            str(asked),
        ]
        lines.append(f"| {foreign.package} {foreign.version} | {foreign.lacks} | {' | '.join(counts)} |")
    lines += ["", "By weakness: hostile cases that were let through, of those that the verifier was asked.", ""]
    lines.append(f"| row | weakness | {' | '.join(result.name for result in results)} |")
    lines.append(f"|---|---|{'---|' * len(results)}")
    for number, row in ROWS.items():
        of_row = [case for case in hostile if number in case.rows]
        if not any(_asked(result, of_row) for result in results):
            continue
        cells = [f"{_count(result, 'accepts', of_row)} of {_asked(result, of_row)}" for result in results]
        lines.append(f"| {number} | {row.title} | {' | '.join(cells)} |")
    for result in results:
        passed = result.of("accepts")
        refused = result.of("refuses")
        lines += ["", f"**{result.name}** lets through: {_listed(passed)}.", ""]
        lines.append(f"It refuses of genuine forms: {_listed(refused)}.")
    return "\n".join(lines) + "\n"


def _count(result: Result, outcome: Outcome, cases: Iterable[Case]) -> int:
    return sum(result.outcomes[case.id] == outcome for case in cases)


def _asked(result: Result, cases: Iterable[Case]) -> int:
    return sum(result.outcomes[case.id] != "unsupported" for case in cases)


def _group(case: str) -> str:
    return case.partition("/")[0]


def _listed(ids: Sequence[str]) -> str:
    if not ids:
        return "nothing"
    groups: dict[str, list[str]] = {}
    for case in ids:
        groups.setdefault(_group(case), []).append(case.partition("/")[2])
    parts = []
    for group, names in groups.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        parts.append(f"{group} ({', '.join(names[:_SHOWN])}{more})")
    return "; ".join(parts)

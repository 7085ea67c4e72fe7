"""The hierarchy's promises: stable codes, each with a next step, all of them in use."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import blindsight
from blindsight import errors
from blindsight.errors import BlindsightError, EvidenceError, SealingError, TransportError

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BlindsightError) and value.NEXT_STEPS
}
ROOT = Path(blindsight.__path__[0]).parent


def raised_codes() -> set[tuple[str, str]]:
    """(class, code) of every error that the sources construct with a literal code."""
    found = set()
    for unit in ("blindsight", "gateway", "enclave_runtime", "enclave_function"):
        for path in (ROOT / unit).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                    name = getattr(node.func, "id", getattr(node.func, "attr", None))
                    if name in CLASSES:
                        found.add((name, node.args[0].value))
    return found


def test_every_raised_code_has_a_next_step() -> None:
    raised = raised_codes()
    assert ("EvidenceDebugError", "debug_document") in raised
    assert {pair for pair in raised if pair[1] not in CLASSES[pair[0]].NEXT_STEPS} == set()


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_codes_are_stable_words_with_a_sentence(name: str) -> None:
    for code, step in CLASSES[name].NEXT_STEPS.items():
        assert re.fullmatch("[a-z0-9_]+", code)
        assert step.endswith(".")


def test_no_code_has_two_meanings() -> None:
    meanings: dict[str, set[str]] = {}
    for each in CLASSES.values():
        for code, step in each.NEXT_STEPS.items():
            meanings.setdefault(code, set()).add(step)
    assert [code for code, steps in meanings.items() if len(steps) > 1] == []
    twice = [code for code in meanings if sum(code in each.NEXT_STEPS for each in CLASSES.values()) > 1]
    assert twice == ["release_recalled"], "by its measurements or by its claims"


def test_an_unknown_code_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        SealingError("cannot_opne", "A misspelt code.")


def test_only_transport_is_retryable_as_it_is() -> None:
    assert [name for name, each in CLASSES.items() if each.RETRYABLE] == ["TransportError"]
    assert TransportError("timed_out", "No answer in 5 s.").retryable


def test_tree_in_the_docstring_is_complete() -> None:
    assert set(re.findall(r"\b\w+Error\b", errors.__doc__ or "")) == {*CLASSES, "BlindsightError", "EvidenceError"}
    assert issubclass(errors.EvidenceChainError, EvidenceError)

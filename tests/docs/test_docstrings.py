"""Docstrings of public functions say which errors they raise. That there are docstrings, ruff looks after (D1)."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    Function = ast.FunctionDef | ast.AsyncFunctionDef

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "blindsight", "blindsight_cli", "blindsight_conformance", "enclave_function", "enclave_image", "enclave_runtime",
    "evil_gateway", "fuzz", "gateway", "kms_standin", "model_build", "release_build", "site_build",
)  # fmt: skip

NO_ERRORS = {"AssertionError", "BadParameter", "Exit", "NotImplementedError", "StopIteration", "KeyboardInterrupt"}
"""Raised for the framework: typer turns them into messages and exit statuses."""

TOLD_ELSEWHERE = {"Request": "gateway", "Scope": "gateway", "Context": "blindsight_cli/cape"}
"""Functions of such an argument, and where. Routes: docstrings are OpenAPI's descriptions, which list the problems.
Commands of `cape`: all raise `CliError`, which its `main` prints."""


def silent(path: str, text: str) -> list[str]:
    """The public functions that raise errors themselves, of which neither they nor their class say so."""
    return [
        f"{path}:{function.lineno} {name}"
        for name, function, documented in _public(ast.parse(text), "")
        if _raised(function) and not _is_told_elsewhere(path, function) and "raise" not in documented.lower()
    ]


def _public(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Function, str]]:
    described = ast.get_docstring(parent) or "" if isinstance(parent, ast.ClassDef) else ""
    for node in parent.body:
        is_public = not node.name.startswith("_") if hasattr(node, "name") else False
        if isinstance(node, ast.ClassDef) and is_public:
            yield from _public(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (is_public or node.name == "__init__"):
            yield prefix + node.name, node, f"{ast.get_docstring(node) or ''} {described}"


def _raised(function: Function) -> set[str]:
    """Errors by name; those of functions inside are theirs."""
    found, left = set(), list(ast.iter_child_nodes(function))
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = error.attr if isinstance(error, ast.Attribute) else getattr(error, "id", "")
            found |= {name} if name[:1].isupper() else set()
        left += ast.iter_child_nodes(node)
    return found - NO_ERRORS


def _is_told_elsewhere(path: str, function: Function) -> bool:
    kinds = {getattr(each.annotation, "id", "") for each in function.args.args}
    return any(path.startswith(TOLD_ELSEWHERE[kind]) for kind in kinds & TOLD_ELSEWHERE.keys())


@pytest.mark.parametrize("package", PACKAGES)
def test_errors_are_told(package: str) -> None:
    # `fuzz.target.Target` says what harnesses raise.
    files = [path for path in sorted((REPOSITORY / package).rglob("*.py")) if path.parent.name != "targets"]
    assert files
    found = [(path.relative_to(REPOSITORY).as_posix(), path.read_text("utf-8")) for path in files]
    assert [fault for path, text in found for fault in silent(path, text)] == []


def test_a_silent_function_is_found() -> None:
    loud = 'def f():\n    """Raises `ValueError`."""\n    raise ValueError\n'
    assert silent("x.py", loud) == []
    assert silent("x.py", loud.replace("Raises", "Not")) == ["x.py:1 f"]
    assert silent("x.py", loud.replace("Raises", "Not").replace("f()", "_f()")) == []
    assert silent("x.py", "class A:\n    def f(self):\n        raise errors.KmsError('x')\n") == ["x.py:2 A.f"]
    assert silent("x.py", 'class A:\n    """Raises."""\n    def f(self):\n        raise ValueError\n') == []
    assert silent("x.py", "def f():\n    def g():\n        raise ValueError\n") == []
    assert silent("gateway/x.py", "async def f(request: Request):\n    raise ValueError\n") == []

"""Finds mutants that change only texts for users: messages of errors, and texts of a report's steps."""

from __future__ import annotations

import ast

_REPORTING = {"passed", "asked", "step"}
_NAMES_THE_PLACE = {"_list", "hash_of", "version_key", "whole_seconds", "_check_seconds", "_hashes", "_text"}
"""Functions whose last argument, of several, is only a name in their message."""

_NAMES_THE_PLACE_FIRST = {"_certificate", "_claim"}


def only_texts(original: ast.AST, mutant: ast.AST) -> bool:
    """Whether two functions differ only in texts. Codes and step numbers do not count as texts."""
    return _without_texts(original) == _without_texts(mutant)


def _without_texts(function: ast.AST) -> str:
    copy = _Blind().visit(ast.parse(ast.unparse(function)))
    copy.body[0].name = ""
    return ast.dump(copy)


class _Blind(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        kept = 1 if name.endswith(("Error", "_error")) or name in {"asked", "step"} else 0
        if name == "ValueError" or (name == "__init__" and ast.unparse(node.func) == "super().__init__"):
            node.args = [_text() for _ in node.args]
        elif name in _NAMES_THE_PLACE and len(node.args) > 1:
            node.args[-1] = _text()
        elif name in _NAMES_THE_PLACE_FIRST and len(node.args) > 1:
            node.args[0] = _text()
        elif name == "Step":
            node.args[2:4] = [_text() for _ in node.args[2:4]]
        elif kept or name in _REPORTING:
            node.args = [*node.args[:kept], *(_text() for _ in node.args[kept:])]
        self.generic_visit(node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Messages that are assigned to a variable before they are raised."""
        if ast.unparse(node.targets[0]) == "text" and isinstance(node.value, ast.JoinedStr | ast.Constant):
            node.value = _text()
        self.generic_visit(node)
        return node

    def visit_JoinedStr(self, _: ast.JoinedStr) -> ast.AST:
        return _text()

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return _text() if isinstance(node.value, str) and " " in node.value else node


def _text() -> ast.Constant:
    return ast.Constant("")

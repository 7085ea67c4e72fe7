"""Every place that loads ONNX Runtime has told it before to send nothing: a call after the import comes too late."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
VARIABLE = "ORT_DISABLE_TELEMETRY"
TESTS = Path("tests")


def sources() -> list[Path]:
    """Every Python file of the repository that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return [path for line in listed.splitlines() if (REPOSITORY / (path := Path(line))).exists()]


def imports(tree: ast.AST) -> set[str]:
    """Top names of what is imported anywhere in it, by statement or by name."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str() as module):
                found.add(module.partition(".")[0])
            case ast.Call(args=[ast.Constant(value=str() as name), *_]):
                if ast.unparse(node.func) in {"__import__", "import_module", "importlib.import_module"}:
                    found.add(name.partition(".")[0])
    return found


def text(path: Path) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def parsed(path: Path) -> ast.Module:
    return ast.parse(text(path))


def guard(path: Path) -> Path:
    """What runs before anything else of this file's package; of tests, what pytest loads first."""
    if path.parts[0] == TESTS.name:
        return TESTS / "conftest.py"
    if path.parts[0] == "examples":
        return path  # Each is a program of its own.
    # What `enclave_function` holds is at the root of a bundle.
    depth = 2 if path.parts[0] == "enclave_function" else 1
    return Path(*path.parts[:depth], "__init__.py")


def silenced_first(path: Path) -> bool:
    """Whether the file sets the variable before it imports anything but the standard library's `os`."""
    for statement in parsed(path).body:
        if ast.unparse(statement) == f"os.environ['{VARIABLE}'] = '1'":
            return True
        if isinstance(statement, ast.Import | ast.ImportFrom) and imports(statement) - {"os", "__future__"}:
            return False
    return False


# Every process of the tests looks for them, so only a file that has the word is parsed.
USERS = [path for path in sources() if "onnxruntime" in text(path) and "onnxruntime" in imports(parsed(path))]


def test_the_search_finds_the_users() -> None:
    assert Path("enclave_function/photo_classifier/model.py") in USERS
    assert Path("model_build/session.py") in USERS


@pytest.mark.parametrize("path", USERS, ids=str)
def test_onnx_runtime_is_silenced_before_it_is_loaded(path: Path) -> None:
    assert silenced_first(guard(path)), f"{guard(path)} does not set {VARIABLE} before its imports; {path} loads it"

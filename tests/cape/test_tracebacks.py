"""Who is told how a function failed: the party that tests its own code on its own input, and no other."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape.envelope import encrypt, load_public_key
from tests.cape.test_conformance_deploy import archive_of
from tests.support.cape_client import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cape_host import CapeHost, Person

FAILING = """
import json

LIMIT = 5


def first(data):
    return json.loads(data)["numbers"]


def cape_handler(data):
    try:
        return first(data)[LIMIT]
    except IndexError as error:
        raise ValueError(f"too few numbers in {data!r}") from error
"""
INPUT = '{"numbers": [1, 2]}'
MISSING = "import numpy\n\nimport lib.uses_cv2\n\n\ndef cape_handler(data):\n    return data\n"


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    folder = tmp_path / "failing"
    folder.mkdir()
    (folder / "app.py").write_text(FAILING)
    return folder


@pytest.fixture
def unloadable(tmp_path: Path) -> Path:
    folder = tmp_path / "unloadable"
    (folder / "lib").mkdir(parents=True)
    (folder / "app.py").write_text(MISSING)
    (folder / "lib" / "uses_cv2.py").write_text("import cv2\n")
    return folder


def test_a_test_shows_the_handlers_traceback(ada: Person, failing: Path) -> None:
    said = ada.cape("test", str(failing), INPUT, status=1)
    assert said.out == b""
    traceback, _, last = said.err.rpartition("Error: ")
    assert last == "function raised ValueError\n"
    lines = traceback.partition("Traceback (most recent call last):\n")[2].splitlines()
    assert lines[:2] == ['  File "app.py", line 13, in cape_handler', "    return first(data)[LIMIT]"]
    assert "IndexError: list index out of range" in lines
    assert "The above exception was the direct cause of the following exception:" in lines
    assert f"ValueError: too few numbers in {INPUT.encode()!r}" in lines
    # Neither where it lay nor what called it.
    assert "enclave_runtime" not in said.err
    assert "/run-" not in said.err


def test_a_test_shows_why_the_function_is_not_loaded(ada: Person, unloadable: Path) -> None:
    said = ada.cape("test", str(unloadable), "x", status=1).err
    assert said.endswith(
        "Traceback (most recent call last):\n"
        '  File "app.py", line 3, in <module>\n'
        "    import lib.uses_cv2\n"
        '  File "lib/uses_cv2.py", line 1, in <module>\n'
        "    import cv2\n"
        "ModuleNotFoundError: No module named 'cv2'\n"
        "Error: app.py cannot be loaded: ModuleNotFoundError: No module named 'cv2'\n"
    )


def test_a_syntax_error_is_shown_where_it_is(ada: Person, failing: Path) -> None:
    (failing / "app.py").write_text("def cape_handler(x):\n    return (x\n")
    said = ada.cape("test", str(failing), "x", status=1).err
    assert '  File "app.py", line 2\n    return (x\n           ^\nSyntaxError: ' in said
    assert said.endswith("Error: app.py cannot be loaded: SyntaxError\n")


def test_what_a_function_says_is_no_command_for_a_terminal(ada: Person, failing: Path) -> None:
    (failing / "app.py").write_text("def cape_handler(x):\n    raise ValueError('\x1b[2J')\n")
    said = ada.cape("test", str(failing), "x", status=1).err
    assert "ValueError: \N{REPLACEMENT CHARACTER}[2J\n" in said
    assert "\x1b" not in said


def test_a_caller_of_a_function_is_told_the_type_alone(
    cape_host: CapeHost, ada: Person, bob: Person, failing: Path
) -> None:
    """Its owner is too, who has a test for that: tokens for it are in others' hands, and errors pass the host."""
    function = ada.deploy(failing, public=True)
    for caller, token in ((bob, None), (ada, None), (ada, ada.token("run", function_id=function.id))):
        said = caller.cape("run", function.id, INPUT, *(["-t", token] if token else []), status=1)
        assert said.err.endswith("Error: run request failed: function raised ValueError\n")
        assert "numbers" not in said.err
        assert "Traceback" not in said.err
    with cape_host.js(f"/v1/run/{function.id}", bob.token()) as js:
        js.send_input(INPUT.encode())
        assert js.frame() == {"error": "function raised ValueError"}


def test_a_caller_is_not_told_what_the_code_says_while_it_is_loaded(ada: Person, bob: Person, tmp_path: Path) -> None:
    """The code is secret to its callers, and to the host."""
    folder = tmp_path / "secretive"
    folder.mkdir()
    for source, text in (
        ("raise RuntimeError('the key is 1234')\n", "RuntimeError"),
        ("raise ModuleNotFoundError('the key is 1234')\n", "ModuleNotFoundError"),
        ("class TheKeyIs1234(Exception): pass\nraise TheKeyIs1234\n", "Exception"),
        ("import missing\n", "ModuleNotFoundError: No module named 'missing'"),
    ):
        (folder / "app.py").write_text(source)
        function = ada.deploy(folder, public=True)
        said = bob.cape("run", function.id, "x", status=1).err
        assert said.endswith(f"Error: run request failed: app.py cannot be loaded: {text}\n")
        assert "1234" not in said


def test_with_the_owners_key_in_reach_nothing_is_explained(ada: Person, failing: Path) -> None:
    """A host that has seen a deploy token, and has the code, could test it on others' ciphertexts for the owner."""
    token = ada.deploy_token("failing", sha256(archive_of(failing)))
    value = encrypt(load_public_key(ada.key_der), INPUT.encode()).decode()
    said = ada.cape("test", str(failing), value, "-t", token, status=1).err
    assert said.endswith("Error: function raised ValueError\n")
    assert "Traceback" not in said
    assert "numbers" not in said


def test_the_host_cannot_read_it(cape_host: CapeHost, ada: Person, failing: Path) -> None:
    with cape_host.js("/v1/test", ada.token()) as js:
        js.send_input(archive_of(failing))
        js.send_input(INPUT.encode())
        frame: dict[str, Any] = js.frame()
    assert frame.keys() == {"error", "traceback"}
    assert frame["error"] == "function raised ValueError"
    assert b"numbers" not in base64.b64decode(frame["traceback"], validate=True)


def test_a_token_for_one_function_tests_no_code(ada: Person, failing: Path, echo: Any) -> None:
    said = ada.cape("test", str(failing), "x", "-t", ada.token("run", function_id=echo.id), status=1).err
    assert "Traceback" not in said
    assert "it runs no other code" in said

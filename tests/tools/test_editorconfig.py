"""Every tracked file is as .editorconfig has editors write it."""

from __future__ import annotations

import codecs
import configparser
import fnmatch
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BINARY = {".cbor", ".eif", ".onnx", ".png", ".whl"}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [
        name
        for name in listed.stdout.split("\0")
        if name and Path(name).suffix not in BINARY and (REPOSITORY / name).is_file()
    ]


@cache
def sections() -> list[tuple[list[str], dict[str, str]]]:
    """Patterns and properties, in their order. A slash ties a pattern to the root (editorconfig.org)."""
    parser = configparser.ConfigParser(delimiters="=", interpolation=None)
    parser.read_string("[root]\n" + (REPOSITORY / ".editorconfig").read_text("utf-8"))
    found = []
    for name in parser.sections()[1:]:
        head, _, rest = name.partition("{")
        choices, _, tail = rest.partition("}")
        found.append(([f"{head}{choice}{tail}" for choice in choices.split(",")], dict(parser[name])))
    return found


def properties(name: str) -> dict[str, str]:
    """What applies to a file: of two sections that match, the later one."""
    found: dict[str, str] = {}
    for patterns, values in sections():
        if any(fnmatch.fnmatchcase(name if "/" in each else Path(name).name, each) for each in patterns):
            found |= values
    return {key: value for key, value in found.items() if value != "unset"}


def faults(wanted: dict[str, str], content: bytes) -> list[str]:
    found = []
    if wanted.get("charset") == "utf-8":
        if content.startswith(codecs.BOM_UTF8):
            found.append("byte order mark")
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            found.append("not UTF-8")
    if wanted.get("end_of_line") == "lf" and b"\r" in content:
        found.append("carriage return")
    if wanted.get("insert_final_newline") == "true" and content and not content.endswith(b"\n"):
        found.append("no line feed at the end")
    if wanted.get("trim_trailing_whitespace") == "true" and re.search(rb"[ \t]$", content, re.MULTILINE):
        found.append("spaces at the end of a line")
    other = {"space": rb"^ *\t", "tab": rb"^ "}.get(wanted.get("indent_style", ""))
    if other and re.search(other, content, re.MULTILINE):
        found.append(f"not indented with a {wanted['indent_style']}")
    return found


def test_every_file_is_as_editors_would_write_it() -> None:
    names = tracked()
    assert len(names) > 1000
    assert [
        f"{name}: {fault}"
        for name in names
        for fault in faults(properties(name), (REPOSITORY / name).read_bytes())
    ] == []  # fmt: skip


@pytest.mark.parametrize(
    ("name", "indent"), [("Makefile", "tab"), ("blindsight/keys.py", "space"), ("gateway/web/page.css", "space")]
)
def test_the_sections_are_read(name: str, indent: str) -> None:
    found = properties(name)
    assert (found["indent_style"], found["charset"]) == (indent, "utf-8")
    assert found["indent_size"] == ("2" if name.endswith(".css") else "4")


def test_each_fault_is_found() -> None:
    wanted = properties("blindsight/keys.py")
    assert faults(wanted, b"") == faults(wanted, b"if x:\n    y\n") == []
    for content in (b"\xef\xbb\xbfx\n", b"\xe9\n", b"x\r\n", b"x", b"x \ny\n", b"if x:\n\ty\n"):
        assert len(faults(wanted, content)) == 1, content
    assert faults(properties("Makefile"), b"x:\n    y\n") == ["not indented with a tab"]

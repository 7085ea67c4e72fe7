"""What messages and helps tell people to type exists: each command, option, make target and variable, each page."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.command_tree import ROOT, UNITS, Node, make, programs
from tests.support.documented import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = ("blindsight", "blindsight_cli", *UNITS)

_MODEL = [("model_build", "build"), ("model_build", "check"), ("blindsight", "up"), ("blindsight", "bundle", "build")]
_BUNDLE = [("enclave_function", "bundle", "build"), ("blindsight", "up"), ("blindsight", "release", "make")]

SHOWN_BY = {
    "model_build/offline/": [("model_build", "train-offline")],
    # Only this command line shows the messages of its own module.
    "model_build/cli.py": [("model_build", "build")],
    # Only these make int8 variants.
    "model_build/agreement.py": [("model_build", "build"), ("model_build", "quantise"), ("blindsight", "up")],
    "model_build/": _MODEL,
    "enclave_function/bundle/builder.py": _BUNDLE,
    "enclave_function/bundle/vendor.py": [("enclave_function", "bundle", "build")],
    # It tells a caller how the model would have to be built.
    "enclave_function/photo_classifier/formats.py": [("model_build", "build")],
    "blindsight_cli/modelpath.py": _BUNDLE,
    "benchmarks/recorded.py": [("benchmarks.soak",), ("benchmarks.mutated",), ("benchmarks.scale",)],
}
"""Which commands show the messages of a file; the first prefix counts. All of them must have an option that a message
names by itself: `blindsight up`, and so `make run`, has few of `model_build`'s."""

FOREIGN = {"--bypass-policy-lockout-safety-check", "--data-binary", "--debug-mode", "--require"}
"""Options of other programs, outside a command that is written out: of AWS's command lines, curl and Node.js."""

_COMMAND = re.compile(
    r"[`'>]((?:[\w.${}/]*/)?(?:blindsight|cape|make|python3? -m)(?: [^`'<]*)?)[`'<]|(\bpython3? -m \w+[\w -]*)"
)
_RELATIVE = re.compile(r"`([a-z][a-z-]*(?: [a-z][a-z-]*)* --[a-z][^`]*)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
_PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")


@dataclass(frozen=True)
class Text:
    """A string in the source, with `…` where a value is put in."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@functools.cache
def trees() -> dict[str, Node]:
    return programs()


def _texts(path: Path) -> Iterator[Text]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        else:
            continue
        # A single word is an argument that our own code passes, not a message.
        if " " in text.strip():
            yield Text(path.relative_to(ROOT).as_posix(), node.lineno, text)


def faults(text: Text) -> list[str]:
    """What the text names that does not exist."""
    found, rest = [], re.sub(r"\bpip install .*", "", text.text)
    for match in _COMMAND.finditer(text.text):
        found += _command_faults((match[1] or match[2]).split())
        rest = rest.replace(match[0], " ")
    for match in _RELATIVE.finditer(rest):
        words = match[1].split()
        path = tuple(word for word in words if not word.startswith("-") and word.islower())
        nodes = [node for tree in trees().values() for place, node in tree.walk() if place[-len(path) :] == path]
        if nodes:
            rest = rest.replace(match[0], " ")
            found += [
                f"{word} of `{' '.join(path)}`"
                for word in _options(words)
                if not any(word in node.options for node in nodes)
            ]
        else:  # Another program's, such as `aws kms generate-data-key --key-spec AES_256`.
            rest = rest.replace(match[0], " ")
    found += [option for option in _options(rest.split()) if not _is_shown_with(option, text.file)]
    found += [page for page in _PAGE.findall(text.text) if not (ROOT / page).is_file()]
    return found


def _options(words: list[str]) -> list[str]:
    return [match[0] for word in words if (match := _OPTION.search(word)) and match[0] not in FOREIGN]


def _command_faults(words: list[str]) -> list[str]:
    program, words = words[0].rpartition("/")[2], words[1:]
    if program == "make":
        targets, variables = make()
        named = [word.partition("=") for word in words]
        return [f"make {name}" for name, is_set, _ in named if name not in (variables if is_set else targets) | {"…"}]
    if program.startswith("python"):
        program, words = _unit(words[1]), words[2:]
        if program not in trees():
            return [] if program in sys.stdlib_module_names | {"pip"} else [f"python -m {program}"]
    node, path = trees()[program], program
    found = []
    for word in words:
        if word.startswith("--"):
            found += [f"{option} of `{path}`" for option in _options([word]) if option not in node.options]
        elif word in node.children:
            node, path = node.children[word], f"{path} {word}"
        elif node.children and re.fullmatch(r"[a-z-]+", word):
            found.append(f"`{path} {word}`")
            break
    return found


def _is_shown_with(option: str, file: str) -> bool:
    for prefix, commands in SHOWN_BY.items():
        if file.startswith(prefix):
            return all(option in _node(command).options for command in commands)
    module = file.removesuffix(".py").replace("/", ".")
    package = _unit(module)
    nodes = [node for tree in trees().values() for _, node in tree.walk()]
    if package in UNITS:
        nodes = [node for _, node in trees()[package].walk()]
    elif own := [node for node in nodes if module in node.modules]:
        nodes = own
    return any(option in node.options for node in nodes)


def _unit(module: str) -> str:
    """The program that a module is of: some packages have several."""
    parts = module.split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in UNITS else parts[0]


def _node(command: tuple[str, ...]) -> Node:
    node = trees()[command[0]]
    for name in command[1:]:
        node = node.children[name]
    return node


@pytest.mark.parametrize("package", PACKAGES)
def test_what_messages_tell_people_to_type_exists(package: str) -> None:
    texts = (text for path in sorted((ROOT / package).rglob("*.py")) for text in _texts(path))
    assert [f"{text}: {fault}" for text in texts for fault in faults(text)] == []


def test_what_the_pages_tell_people_to_type_exists() -> None:
    pages = [*(ROOT / "gateway" / "web").glob("*.html"), *(ROOT / "gateway" / "static").glob("*.html")]
    texts = [
        Text(path.relative_to(ROOT).as_posix(), number, line)
        for path in pages
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if _COMMAND.search(line)
    ]
    assert texts
    assert [f"{text}: {fault}" for text in texts for fault in faults(text)] == []


def test_what_the_documentation_shows_exists() -> None:
    """Its blocks of commands, whether a test types them or not: those of docs/releasing.md take hours."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    found, seen = [], set()
    for name in filter(None, listed.stdout.split("\0")):
        for line, words in _shown((ROOT / name).read_text("utf-8")):
            seen.add(name)
            found += [f"{name}:{line}: {fault}" for fault in _command_faults(words)]
    assert found == []
    assert {"README.md", "docs/releasing.md", "docs/release-file.md"} <= seen


def _shown(page: str) -> Iterator[tuple[int, list[str]]]:
    """The commands of ours in a page's blocks, and the line that each block begins in."""
    for block in blocks(page):
        if not block.has_commands:
            continue
        text = re.sub(r"(?m)(?:^|(?<=\s))#.*", "", block.text.replace("\\\n", " "))
        if block.language == "console":
            text = "\n".join(re.findall(r"^\$ (.+)", text, re.MULTILINE))
        tokens = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
        tokens.whitespace, tokens.whitespace_split = " \t", True
        for is_between, part in itertools.groupby(tokens, lambda token: set(token) <= set("();<>|&\n")):
            words = list(itertools.dropwhile(lambda word: word == "sudo" or re.match("[A-Z_]+=", word), part))
            program = words[0].rpartition("/")[2] if words and not is_between else ""
            if program in {"blindsight", "cape", "make"} or (program.startswith("python") and words[1:2] == ["-m"]):
                yield block.line, words


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("model_build/build.py", "give them with --labels FILE", "--labels"),
        (
            "model_build/build.py",
            "build with `python -m model_build build --lables FILE`",
            "--lables of `model_build build`",
        ),
        ("blindsight_cli/up.py", "or `make run LABELS=FILE`", "make LABELS"),
        ("blindsight_cli/up.py", "or `make start`", "make start"),
        ("blindsight_cli/up.py", "or run `blindsight doctors`", "`blindsight doctors`"),
        ("blindsight_cli/up.py", "look with `.venv/bin/blindsight attest show`", "`blindsight attest show`"),
        ("gateway/tokens.py", "make it with `python -m gateway tokens`", "`gateway tokens`"),
        ("blindsight_cli/cape/keys.py", "see 'cape key list --all'", "--all of `cape key`"),
        ("blindsight_cli/attest.py", "what `attest --keep` wrote", "--keep of `attest`"),
        ("model_build/cli.py", "see docs/model.md", "docs/model.md"),
    ],
)
def test_a_wrong_hint_is_found(file: str, text: str, fault: str) -> None:
    assert faults(Text(file, 1, text)) == [fault]

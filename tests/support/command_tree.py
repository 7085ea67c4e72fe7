"""Every command of the project and its options, as the programs themselves define them."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blindsight_cli import main as blindsight_main
from blindsight_cli.cape import main as cape_main
from site_build.programs import PASSED_ON, UNITS, parser_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

    from blindsight_cli.cape.flags import Command as CapeCommand

__all__ = ["BY_DEFAULT", "PASSED_ON", "ROOT", "TAKES_MODELS", "UNITS", "Node", "make", "programs"]

ROOT = Path(__file__).resolve().parents[2]

TAKES_MODELS = (("bundle", "build"), ("release", "make"))
"""Of these, the ones that import an ONNX file before they pass it on (`blindsight_cli.modelpath`)."""

BY_DEFAULT = {"attest": "verify", "hardware-report": "make"}
"""Groups of `blindsight` that run one of their commands where none is named."""


@dataclass
class Node:
    """A command or a group of them. `modules` are those whose code runs it."""

    options: set[str] = field(default_factory=set)
    children: dict[str, Node] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
        yield path, self
        for name, child in self.children.items():
            yield from child.walk((*path, name))


def programs() -> dict[str, Node]:
    """The command trees, by how they are called: `blindsight`, `cape`, and each unit by the name of its package."""
    found = {unit: _argparse(parser_of(unit)) for unit in UNITS}
    tree = _click(typer.main.get_command(blindsight_main.app))
    for path, target in PASSED_ON.items():
        parent = tree
        for name in path[:-1]:
            parent = parent.children[name]
        node = found[target[0]]
        for name in target[1:]:
            node = node.children[name]
        parent.children[path[-1]] = node
    for path in TAKES_MODELS:
        node = found[PASSED_ON[path][0]]
        for name in PASSED_ON[path][1:]:
            node = node.children[name]
        parent = tree.children[path[0]]
        parent.children[path[1]] = Node(node.options | {"--model-options"}, node.children, node.modules)
    for group, command in BY_DEFAULT.items():
        tree.children[group].options |= tree.children[group].children[command].options
    return found | {"blindsight": tree, "cape": _cape(cape_main.ROOT, set())}


def make() -> tuple[set[str], set[str]]:
    """The Makefile's targets and its variables."""
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE)
    variables = re.findall(r"^([A-Z_]+)\s*[?:]?=", text, re.MULTILINE)
    return set(targets), set(variables)


def _argparse(parser: argparse.ArgumentParser) -> Node:
    node = Node()
    for action in parser._actions:
        node.options.update(option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            node.children.update({name: _argparse(child) for name, child in action.choices.items()})
    return node


def _click(command: click.Command) -> Node:
    node = Node({"--help"})
    for parameter in command.params:
        if parameter.param_type_name == "option":
            options = [*parameter.opts, *parameter.secondary_opts]
            node.options.update(option for option in options if option.startswith("--"))
    if command.callback is not None:
        node.modules.add(command.callback.__module__)
    for name, child in getattr(command, "commands", {}).items():
        node.children[name] = _click(child)
    return node


def _cape(command: CapeCommand, inherited: set[str]) -> Node:
    options = inherited | {f"--{flag.name}" for flag in command.flags} | {"--help"}
    node = Node(options, modules={command.run.__module__} if command.run else set())
    node.children = {child.name: _cape(child, options) for child in command.commands}
    return node

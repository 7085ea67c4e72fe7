"""Every command of the project with its options, as the programs themselves define them."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import typer

from blindsight_cli import main as blindsight_main
from blindsight_cli.cape import main as cape_main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blindsight_cli.cape.flags import Command as CapeCommand
    from blindsight_cli.cape.flags import Flag

UNITS: Final = {
    "benchmarks": "benchmarks.__main__",
    "benchmarks.mutated": "benchmarks.mutated.__main__",
    "benchmarks.scale": "benchmarks.scale.__main__",
    "benchmarks.soak": "benchmarks.soak.__main__",
    "blindsight_conformance": "blindsight_conformance.__main__",
    "campaigns": "campaigns.__main__",
    "enclave_function": "enclave_function.commands",
    "enclave_image": "enclave_image.commands",
    "enclave_runtime": "enclave_runtime.commands",
    "evil_gateway": "evil_gateway.__main__",
    "fuzz": "fuzz.__main__",
    "gateway": "gateway.__main__",
    "kms_standin": "kms_standin.__main__",
    "model_build": "model_build.cli",
    "release_build": "release_build.cli",
    "site_build": "site_build.__main__",
}
"""The units with a command line, and where it is read."""

PASSED_ON: Final = {
    ("model", "build"): ("model_build", "build"),
    ("model", "check"): ("model_build", "check"),
    ("model", "quantise"): ("model_build", "quantise"),
    ("bundle", "build"): ("enclave_function", "bundle", "build"),
    ("bundle", "inspect"): ("enclave_function", "bundle", "inspect"),
    ("bundle", "encrypt"): ("enclave_function", "bundle", "encrypt"),
    ("eif", "build"): ("enclave_image", "build"),
    ("release", "make"): ("release_build", "make"),
    ("demo", "evil-gateway"): ("evil_gateway",),
}
"""Commands of `blindsight` that are a unit's."""

_WIDTH: Final = 100
"""Columns of a usage, whatever terminal the build has."""


@dataclass(frozen=True)
class Option:
    """One option or argument: how it is written, and what it means with its default."""

    spelling: str
    meaning: str
    is_argument: bool = False


@dataclass
class Command:
    """A command or a group of them. `name` is the whole call, such as `blindsight eif build`."""

    name: str
    summary: str
    usage: str
    options: list[Option] = field(default_factory=list)
    children: list[Command] = field(default_factory=list)

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def programs() -> list[Command]:
    """The command trees: `blindsight`, `cape`, and each unit."""
    units = {unit: _argparse(parser_of(unit), f"python -m {unit}") for unit in UNITS}
    blindsight = _click(typer.main.get_command(blindsight_main.app), "blindsight", None)
    for path, (unit, *rest) in PASSED_ON.items():
        _replace(blindsight, path, _descend(units[unit], rest), f"python -m {' '.join((unit, *rest))}")
    return [blindsight, _cape(cape_main.ROOT, "cape", ()), *units.values()]


class _Captured(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(unit: str) -> argparse.ArgumentParser:
    """The parser that the unit's `main` makes. Raises `TypeError` if it makes none."""

    def capture(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Captured(parser)

    main = importlib.import_module(UNITS[unit]).main
    with mock.patch.object(argparse.ArgumentParser, "parse_args", capture), mock.patch.object(sys, "argv", [unit]):
        try:
            # The one parser that costs seconds to make is made only where it is asked for.
            main(["train-offline"]) if unit == "model_build" else main()
        except _Captured as caught:
            return caught.parser
    raise TypeError(f"{unit} parses no arguments")


def _descend(command: Command, names: list[str]) -> Command:
    for name in names:
        (command,) = [child for child in command.children if child.name.endswith(f" {name}")]
    return command


def _replace(tree: Command, path: tuple[str, ...], by: Command, called: str) -> None:
    """Give the command at `path` the options of the unit's command, which it passes its arguments to."""
    command = _descend(tree, list(path))
    command.summary = by.summary or command.summary
    command.usage = by.usage.replace(called, command.name)
    command.options, command.children = by.options, [_renamed(child, called, command.name) for child in by.children]


def _renamed(command: Command, old: str, new: str) -> Command:
    return Command(
        command.name.replace(old, new),
        command.summary,
        command.usage.replace(old, new),
        command.options,
        [_renamed(child, old, new) for child in command.children],
    )


def _argparse(parser: argparse.ArgumentParser, name: str, summary: str = "") -> Command:
    parser.prog = name
    formatter = argparse.HelpFormatter(name, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)  # noqa: SLF001 -- argparse offers no reading of a parser
    usage = formatter.format_help().strip().removeprefix("usage: ")
    command = Command(name, summary or _one_paragraph(parser.description), usage)
    for action in parser._actions:  # noqa: SLF001 -- as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- as above
            helps = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001 -- as above
            command.children += [
                _argparse(child, f"{name} {word}", _expanded(child, helps.get(word, ""), {}))
                for word, child in action.choices.items()
            ]
        elif action.help != argparse.SUPPRESS:
            command.options.append(_argparse_option(parser, action))
    return command


def _argparse_option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    formatter = argparse.HelpFormatter(parser.prog, width=_WIDTH)
    default = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    value = "" if action.nargs == 0 else formatter._format_args(action, str(default))  # noqa: SLF001 -- as above
    names = ", ".join(action.option_strings)
    if isinstance(action, argparse._HelpAction):  # noqa: SLF001 -- as above
        return Option(names, "Show this help.")
    values = vars(action) | {"prog": parser.prog}
    meaning = _expanded(parser, action.help or "", values)
    if action.choices and not action.metavar:
        value = "|".join(map(str, action.choices))
    required = "required" if action.option_strings and action.required else ""
    return Option(f"{names} {value}".strip(), _with_notes(meaning, required), not action.option_strings)


def _expanded(parser: argparse.ArgumentParser, text: str, values: dict[str, Any]) -> str:
    return text % (values or {"prog": parser.prog})


def _click(command: Any, name: str, parent: Any) -> Command:  # noqa: ANN401 -- typer has a click of its own
    context = command.context_class(command, info_name=name.rpartition(" ")[2], parent=parent)
    usage = command.get_usage(context).removeprefix("Usage: ")
    found = Command(name, _one_paragraph(command.help), " ".join(usage.split()))
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            spelling, meaning = record
            found.options.append(Option(spelling, _click_meaning(meaning), parameter.param_type_name == "argument"))
    found.options.append(Option("--help", "Show this help."))
    for word, child in getattr(command, "commands", {}).items():
        found.children.append(_click(child, f"{name} {word}", context))
    return found


def _click_meaning(text: str) -> str:
    """Without the default in brackets where the text states it: that value can be this machine's."""
    meaning, _, notes = text.partition("  [")
    kept = [
        note
        for note in re.split(r"; (?=\w+|\d)", notes.removesuffix("]"))
        if note and not (note.startswith("default: ") and "default" in meaning.lower())
    ]
    return _with_notes(meaning, "; ".join(kept))


def _cape(command: CapeCommand, name: str, inherited: tuple[Flag, ...]) -> Command:
    plain = f" {command.arguments}" if command.arguments else ""
    usage = f"{name} [command]" if command.commands else f"{name}{plain} [flags]"
    found = Command(name, command.summary, usage)
    flags = (*command.flags, *inherited)
    for flag in flags:
        default = f"default {flag.default}" if flag.default and flag.kind != "bool" else ""
        found.options.append(Option(flag.spelling.strip(), _with_notes(flag.summary, default)))
    found.options.append(Option("-h, --help", "Show this help."))
    found.children = [_cape(child, f"{name} {child.name}", flags) for child in command.commands]
    return found


def _with_notes(meaning: str, notes: str) -> str:
    return f"{meaning} [{notes}]".strip() if notes else meaning


def _one_paragraph(text: str | None) -> str:
    return text.strip() if text else ""

"""Command lines as Cape's original reads them: flags anywhere, `--flag=value`, `-fvalue`, `--` before plain arguments.

A long flag is never abbreviated, and a global one may stand before the command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blindsight_cli.cape.context import Context

FlagKind = Literal["bool", "string", "strings", "int"]
Value = bool | str | list[str] | int


@dataclass(frozen=True)
class Flag:
    """One flag. `strings` may be repeated, or hold several values with commas between them."""

    name: str
    summary: str
    short: str = ""
    kind: FlagKind = "string"
    default: Value = ""

    @property
    def start(self) -> Value:
        if self.kind == "strings":
            return []
        return False if self.kind == "bool" else self.default

    def parse(self, text: str, before: Value) -> Value:
        """The flag's value after `text`. Raises `ValueError`."""
        match self.kind:
            case "bool":
                return go_bool(text)
            case "strings":
                return [*cast("list[str]", before), *text.split(",")]
            case "int":
                if not text.removeprefix("-").isdecimal():
                    raise ValueError(f'parsing "{text}": invalid syntax')
                return int(text)
            case _:
                return text

    @property
    def spelling(self) -> str:
        """As help shows it."""
        value = {"bool": "", "int": " int"}.get(self.kind, f" {self.kind}")
        return (f"-{self.short}, " if self.short else "    ") + f"--{self.name}{value}"


@dataclass(frozen=True)
class Command:
    """A command, or a group of them; `arguments` is how usage shows the plain arguments."""

    name: str
    summary: str
    run: Callable[[Context], None] | None = None
    arguments: str = ""
    flags: tuple[Flag, ...] = ()
    commands: tuple[Command, ...] = ()


@dataclass
class Parsed:
    """A command line taken apart: the commands from the root down, flags by name, plain arguments."""

    path: list[Command]
    values: dict[str, Value] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    wants_help: bool = False

    @property
    def command(self) -> Command:
        return self.path[-1]


class UsageError(Exception):
    """A command line that is not understood; `path` says whose usage to show."""

    def __init__(self, text: str, path: Sequence[Command]) -> None:
        super().__init__(text)
        self.path = path


def go_bool(text: str) -> bool:
    """What Go's `strconv.ParseBool` makes of `text`. Raises `ValueError`."""
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise ValueError(f'parsing "{text}": invalid syntax')


def parse(root: Command, argv: Sequence[str]) -> Parsed:
    """Take `argv`, without the program's name, apart. Raises `UsageError`."""
    parsed = Parsed([root])
    rest = iter(argv)
    for word in rest:
        if word == "--":
            for plain in rest:
                _plain(parsed, plain)
        elif word.startswith("--"):
            _long(parsed, word, rest)
        elif word.startswith("-") and word != "-":
            _short(parsed, word, rest)
        else:
            _plain(parsed, word)
        if parsed.wants_help:
            break
    for flag in _known(parsed):
        parsed.values.setdefault(flag.name, flag.start)
    return parsed


def _known(parsed: Parsed) -> list[Flag]:
    return [flag for command in parsed.path for flag in command.flags]


def _plain(parsed: Parsed, word: str) -> None:
    if not parsed.command.commands:
        parsed.arguments.append(word)
        return
    for command in parsed.command.commands:
        if command.name == word:
            parsed.path.append(command)
            return
    name = " ".join(command.name for command in parsed.path)
    raise UsageError(f'unknown command "{word}" for "{name}"', parsed.path)


def _long(parsed: Parsed, word: str, rest: Iterator[str]) -> None:
    name, separator, text = word[2:].partition("=")
    if name == "help":
        parsed.wants_help = True
        return
    flag = next((flag for flag in _known(parsed) if flag.name == name), None)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}", parsed.path)
    if not separator:
        text = "true" if flag.kind == "bool" else _next(rest, f"flag needs an argument: --{name}", parsed)
    _set(parsed, flag, text)


def _short(parsed: Parsed, word: str, rest: Iterator[str]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter == "h":
            parsed.wants_help = True
            return
        flag = next((flag for flag in _known(parsed) if flag.short == letter), None)
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in {word}", parsed.path)
        if letters.startswith("="):
            text, letters = letters[1:], ""
        elif flag.kind == "bool":
            text = "true"
        elif letters:
            text, letters = letters, ""
        else:
            text = _next(rest, f"flag needs an argument: '{letter}' in {word}", parsed)
        _set(parsed, flag, text)


def _next(rest: Iterator[str], complaint: str, parsed: Parsed) -> str:
    for text in rest:
        return text
    raise UsageError(complaint, parsed.path)


def _set(parsed: Parsed, flag: Flag, text: str) -> None:
    try:
        parsed.values[flag.name] = flag.parse(text, parsed.values.get(flag.name, flag.start))
    except ValueError as error:
        spelling = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
        raise UsageError(f'invalid argument "{text}" for "{spelling}" flag: {error}', parsed.path) from error


def usage(path: Sequence[Command]) -> str:
    """How the last command of `path` is called, ending in a line feed."""
    command, name = path[-1], " ".join(each.name for each in path)
    lines = ["Usage:"]
    if command.commands:
        lines += [f"  {name} [command]", "", "Available Commands:"]
        width = max(len(each.name) for each in command.commands)
        lines += [f"  {each.name:<{width}}  {each.summary}" for each in command.commands]
    else:
        lines.append(f"  {name}{' ' if command.arguments else ''}{command.arguments} [flags]")
    own = (*command.flags, Flag("help", f"help for {command.name}", "h", "bool"))
    if len(path) == 1:
        lines += ["", "Flags:", *_table(own)]
    else:
        inherited = [flag for each in path[:-1] for flag in each.flags]
        lines += ["", "Flags:", *_table(own), "", "Global Flags:", *_table(inherited)]
    if command.commands:
        lines += ["", f'Use "{name} [command] --help" for more information about a command.']
    return "\n".join(lines) + "\n"


def _table(flags: Sequence[Flag]) -> list[str]:
    width = max(len(flag.spelling) for flag in flags)
    return [f"  {flag.spelling:<{width}}   {flag.summary}" for flag in flags]

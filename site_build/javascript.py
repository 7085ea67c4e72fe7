"""The JavaScript client's reference, from the declarations that the package ships."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

from site_build.errors import SiteError
from site_build.markdown import fenced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXPORT: Final = re.compile(r"^export (?:type )?\{([^}]+)\} from \"\./(\w+)\.js\";$", re.MULTILINE)
_MODULE: Final = re.compile(r"^export \* as (\w+) from \"\./(\w+)\.js\";$", re.MULTILINE)
_DECLARATION: Final = re.compile(
    r"(?P<comment>^/\*\*(?:(?!\*/).)*?\*/\n)?"
    r"^(?P<code>export (?:declare )?(?:abstract )?(?:class|interface|type|function|const|enum) (?P<name>\w+)"
    r"(?:[^\n]*;$|.*?^\}[^\n]*$))",
    re.MULTILINE | re.DOTALL,
)


def write(repository: Path, folder: Path) -> None:
    """Write the page. Raises `SiteError` if an export has no declaration."""
    types = repository / "clients" / "js" / "dist" / "types"
    index = _text(types, "index")
    parts = ["# JavaScript client\n\n", _prose(index), "The [guide](../docs/from-an-app.md) shows it in use.\n\n"]
    parts += [_described("##", name, _declared(types, home, name)) for name, home in _reexported(index)]
    for alias, module in _MODULE.findall(index):
        text = _text(types, module)
        parts += [f"## {alias}\n\n", _prose(text)]
        own = [(match["name"], module) for match in _DECLARATION.finditer(text)]
        for name, home in [*_reexported(text), *own]:
            parts.append(_described("###", f"{alias}.{name}", _declared(types, home, name)))
    page = folder / "reference" / "javascript.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("".join(parts), encoding="utf-8")


def _text(types: Path, module: str) -> str:
    return (types / f"{module}.d.ts").read_text(encoding="utf-8")


def _reexported(text: str) -> Iterator[tuple[str, str]]:
    """Names, and the modules from which they come."""
    for names, module in _EXPORT.findall(text):
        for name in filter(None, map(str.strip, names.split(","))):
            yield name.removeprefix("type "), module


def _declared(types: Path, module: str, name: str) -> tuple[str, str]:
    """Comment and code of one declaration. Raises `SiteError`."""
    for match in _DECLARATION.finditer(_text(types, module)):
        if match["name"] == name:
            return _prose(match["comment"] or ""), match["code"]
    raise SiteError(f"clients/js/dist/types/{module}.d.ts does not declare {name}, which the package exports")


def _described(level: str, title: str, declared: tuple[str, str]) -> str:
    comment, code = declared
    return f"{level} {title}\n\n{comment}{fenced(code, 'typescript')}"


def _prose(text: str) -> str:
    """The documentation comment with which `text` begins, as Markdown. Indented parts of it are code."""
    match = re.match(r"\s*/\*\*(.*?)\*/", text, re.DOTALL)
    if match is None:
        return ""
    lines = [re.sub(r"^\s*\* ?", "", line) for line in match[1].strip().splitlines()]
    return textwrap.dedent("\n".join(lines)).strip() + "\n\n"
